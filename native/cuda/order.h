// Selecting and sorting (key, index) pairs (ops/order_keys.h) by one block. Pairs are unique, so every result is
// determined by the pairs alone: neither the block's size nor the order of atomics shows.
#pragma once

#include "cuda/block.h"
#include "ops/order_keys.h"

namespace instaseg::cuda {

/// Not a pair: skipped by selection. Indices are less than 2^31, so no pair has this value.
inline constexpr uint64_t kNoPair = UINT64_MAX;

/// Pairs that fit the shared memory of a block which sorts.
inline constexpr int64_t kSharedPairs = 2048;

namespace detail {

inline constexpr int kRadixBits = 11;
inline constexpr int kRadixBins = 1 << kRadixBits;

// Values that are alike fall into one bin, whose counter would then be updated 32 times by every warp.
__device__ __forceinline__ void count_in_bin(unsigned* bins, unsigned bin, bool counted) {
  const unsigned lanes = __ballot_sync(kAllLanes, counted);
  if (lanes == 0) return;
  const int leader = __ffs(static_cast<int>(lanes)) - 1;
  const unsigned first = __shfl_sync(kAllLanes, bin, leader);
  if (__all_sync(kAllLanes, !counted || bin == first)) {
    if (lane_index() == leader) atomicAdd(&bins[bin], static_cast<unsigned>(__popc(lanes)));
  } else if (counted) {
    atomicAdd(&bins[bin], 1u);
  }
}

}  // namespace detail

/// The pair p such that exactly `keep` > 0 of `count` pairs are <= p, or p >= all of them where there are no more than
/// that: radix selection from the top, 11 bits a pass, ending as soon as a bin is taken whole. `pair_at(i)` gives a
/// pair or kNoPair; it is called several times, by threads of ascending i.
template <class PairAt>
__device__ uint64_t select_limit(int64_t count, int64_t keep, const PairAt& pair_at) {
  using detail::kRadixBins;
  INSTASEG_SHARED(unsigned, bins, kRadixBins);
  INSTASEG_SHARED(unsigned, found, 3);  // a bin, the pairs in those before it, the pairs in it
  uint64_t prefix = 0;
  uint64_t known = 0;  // mask of the decided bits
  unsigned need = static_cast<unsigned>(keep);
  const int own = kRadixBins / static_cast<int>(blockDim.x);
  for (int shift = 64 - detail::kRadixBits;; shift = shift > detail::kRadixBits ? shift - detail::kRadixBits : 0) {
    for (int bin = static_cast<int>(threadIdx.x); bin < kRadixBins; bin += static_cast<int>(blockDim.x)) bins[bin] = 0;
    __syncthreads();
    for (int64_t first = 0; first < count; first += blockDim.x) {
      const int64_t i = first + threadIdx.x;
      const uint64_t pair = i < count ? pair_at(i) : kNoPair;
      detail::count_in_bin(bins, static_cast<unsigned>(pair >> shift) % kRadixBins,
                           pair != kNoPair && (pair & known) == prefix);
    }
    __syncthreads();
    unsigned sum = 0;
    for (int i = 0; i < own; ++i) sum += bins[static_cast<int>(threadIdx.x) * own + i];
    unsigned total;
    unsigned before = block_prefix_sum(sum, total);
    if (total <= need) return prefix | ~known;
    if (before < need && need <= before + sum) {
      int bin = static_cast<int>(threadIdx.x) * own;
      while (before + bins[bin] < need) before += bins[bin++];
      found[0] = static_cast<unsigned>(bin);
      found[1] = before;
      found[2] = bins[bin];
    }
    __syncthreads();
    prefix |= uint64_t{found[0]} << shift;
    known |= uint64_t{kRadixBins - 1} << shift;
    need -= found[1];
    if (need == found[2] || shift == 0) return prefix | ~known;
    __syncthreads();
  }
}

/// Copies the pairs <= limit, in any order, to shared or global memory; returns their number.
template <class PairAt>
__device__ int64_t collect_pairs(int64_t count, uint64_t limit, const PairAt& pair_at, uint64_t* to) {
  INSTASEG_SHARED(unsigned, used, 1);
  if (threadIdx.x == 0) *used = 0;
  __syncthreads();
  for (int64_t first = 0; first < count; first += blockDim.x) {
    const int64_t i = first + threadIdx.x;
    const uint64_t pair = i < count ? pair_at(i) : kNoPair;
    const bool taken = pair != kNoPair && pair <= limit;
    const unsigned lanes = __ballot_sync(kAllLanes, taken);
    unsigned start = 0;
    if (lane_index() == 0 && lanes != 0) start = atomicAdd(used, static_cast<unsigned>(__popc(lanes)));
    start = __shfl_sync(kAllLanes, start, 0);
    if (taken) to[start + static_cast<unsigned>(lanes_before(lanes))] = pair;
  }
  __syncthreads();
  const int64_t total = *used;
  __syncthreads();
  return total;
}

/// Bitonic sort, ascending, of shared or global memory. Merging starts from the mirrored halves, so that all
/// comparators point the same way and what lies behind the end acts as infinity. The memory may be read by all threads
/// afterwards.
__device__ inline void block_sort(uint64_t* data, int64_t count) {
  const unsigned end = static_cast<unsigned>(count);
  unsigned comparators = 1;  // of a stage
  while (comparators * 2 < end) comparators *= 2;
  // A warp's comparators of spans up to 64 stay within 64 elements of its own.
  constexpr unsigned kWarpSpan = 64;
  unsigned last_span = 2 * kWarpSpan;
  for (unsigned size = 2; size <= comparators * 2; size *= 2) {
    for (unsigned span = size; span > 1; span /= 2) {
      if (span > kWarpSpan || last_span > kWarpSpan) {
        __syncthreads();
      } else {
        __syncwarp();
      }
      last_span = span;
      for (unsigned i = threadIdx.x; i < comparators; i += blockDim.x) {
        const unsigned within = i & (span / 2 - 1);
        const unsigned low = (i - within) * 2 + within;
        const unsigned high = span == size ? (i - within) * 2 + size - 1 - within : low + span / 2;
        if (high >= end) continue;
        const uint64_t a = data[low];
        const uint64_t b = data[high];
        if (b < a) {
          data[low] = b;
          data[high] = a;
        }
      }
    }
  }
  __syncthreads();
}

}  // namespace instaseg::cuda
