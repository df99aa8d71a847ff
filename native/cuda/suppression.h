// Greedy suppression (nms, fastNms): the order of 64 boxes resolved by a warp, and whole lists by a block.
#pragma once

#include "cuda/block.h"
#include "cuda/boxes.h"
#include "ops/suppression_rules.h"

namespace instaseg::cuda {

/// Boxes are worked on in chunks of 64, one bit each.
inline constexpr int kChunk = 64;

__device__ __forceinline__ uint64_t ballot_64(bool low, bool high) {
  const uint64_t low_bits = __ballot_sync(kAllLanes, low);
  return low_bits | static_cast<uint64_t>(__ballot_sync(kAllLanes, high)) << 32;
}

/// The kept ones of 64 boxes in order, for one warp: lane l has the suppressors of boxes l and l + 32, bits of earlier
/// boxes that would suppress them. A round decides every box whose suppressors are decided, the first open one at
/// least; chains of boxes that decide each other are short, so there are few rounds.
__device__ inline uint64_t resolve_chunk(uint64_t candidates, uint64_t low_suppressors, uint64_t high_suppressors) {
  uint64_t open = candidates;
  uint64_t kept = 0;
  while (open != 0) {
    open &= ~ballot_64((low_suppressors & kept) != 0, (high_suppressors & kept) != 0);
    const uint64_t keep = open & ballot_64((low_suppressors & open) == 0, (high_suppressors & open) == 0);
    kept |= keep;
    open &= ~keep;
  }
  return kept;
}

/// Greedy suppression of `count` boxes in order by one block of a multiple of 64 threads, until `limit` are kept (maybe
/// some more: those of the last chunk). `box_at(i)` gives a box; `emit(i, position)` takes every kept one, in order of
/// positions but from several threads. `kept_boxes` has room for min(count, limit + 63). Returns the number kept.
template <class Rule, class BoxAt, class Emit>
__device__ int64_t suppress_list(int64_t count, int64_t limit, float threshold, Box* kept_boxes, const BoxAt& box_at,
                                 const Emit& emit) {
  INSTASEG_SHARED(Box, boxes, kChunk);
  INSTASEG_SHARED(float, areas, kChunk);
  INSTASEG_SHARED(unsigned, removed, 2);
  INSTASEG_SHARED(uint16_t, suppressors, kChunk * 4);
  INSTASEG_SHARED(uint64_t, resolved, 1);
  const int own = static_cast<int>(threadIdx.x) % kChunk;
  const int part = static_cast<int>(threadIdx.x) / kChunk;
  const int parts = static_cast<int>(blockDim.x) / kChunk;
  int64_t kept = 0;
  for (int64_t first = 0; first < count && kept < limit; first += kChunk) {
    const int size = static_cast<int>(count - first < kChunk ? count - first : kChunk);
    if (part == 0) {
      if (own < size) {
        const Box box = box_at(first + own);
        boxes[own] = box;
        areas[own] = suppression_area<Rule>(box);
      }
      if (own < 2) removed[own] = 0;
    }
    __syncthreads();
    if (own < size) {
      const Box box = boxes[own];
      const float area = areas[own];
      bool lost = false;
      for (int64_t i = part; i < kept && !lost; i += parts) {
        const Box other = load_box(kept_boxes, i);
        lost = suppresses<Rule>(other, suppression_area<Rule>(other), box, area, threshold);
      }
      if (lost) atomicOr(&removed[own / 32], 1u << (own % 32));
      for (int quarter = part; quarter < 4; quarter += parts) {
        unsigned bits = 0;
        for (int i = 0; i < 16; ++i) {
          const int other = quarter * 16 + i;
          const bool before = other < own;
          if (before && suppresses<Rule>(boxes[other], areas[other], box, area, threshold)) bits |= 1u << i;
        }
        suppressors[own * 4 + quarter] = static_cast<uint16_t>(bits);
      }
    }
    __syncthreads();
    if (warp_index() == 0) {
      const uint64_t valid = size == kChunk ? ~uint64_t{0} : (uint64_t{1} << size) - 1;
      const uint64_t lost = removed[0] | static_cast<uint64_t>(removed[1]) << 32;
      const auto of = [&](int box) {
        uint64_t bits = 0;
        for (int quarter = 0; quarter < 4 && box < size; ++quarter) {
          bits |= static_cast<uint64_t>(suppressors[box * 4 + quarter]) << (quarter * 16);
        }
        return bits;
      };
      const uint64_t bits = resolve_chunk(valid & ~lost, of(lane_index()), of(lane_index() + 32));
      if (lane_index() == 0) *resolved = bits;
    }
    __syncthreads();
    const uint64_t bits = *resolved;
    if (part == 0 && (bits >> own & 1) != 0) {
      const int64_t position = kept + __popcll(bits & ((uint64_t{1} << own) - 1));
      store_box(kept_boxes, position, boxes[own]);
      emit(first + own, position);
    }
    kept += __popcll(bits);
    __syncthreads();
  }
  return kept;
}

}  // namespace instaseg::cuda
