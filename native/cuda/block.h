// What the threads of a block work out together. Blocks are one-dimensional, of whole warps; every thread of the block
// takes part.
#pragma once

#include "cuda/platform.h"

namespace instaseg::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x % 32); }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x / 32); }
__device__ __forceinline__ int warp_count() { return static_cast<int>(blockDim.x / 32); }
/// The lanes of a ballot before the caller's.
__device__ __forceinline__ int lanes_before(unsigned ballot) { return __popc(ballot & ((1u << lane_index()) - 1u)); }

/// Sum of the values of the threads before the caller's; `total` is that of all. Shared memory written before is
/// visible to the block afterwards.
template <class T>
__device__ __forceinline__ T block_prefix_sum(T value, T& total) {
  INSTASEG_SHARED(T, sums, 33);
  const int lane = lane_index();
  T inclusive = value;
  for (int distance = 1; distance < 32; distance *= 2) {
    const T below = __shfl_up_sync(kAllLanes, inclusive, distance);
    if (lane >= distance) inclusive += below;
  }
  if (lane == 31) sums[warp_index()] = inclusive;
  __syncthreads();
  if (warp_index() == 0) {
    const T own = lane < warp_count() ? sums[lane] : T{0};
    T sum = own;
    for (int distance = 1; distance < 32; distance *= 2) {
      const T below = __shfl_up_sync(kAllLanes, sum, distance);
      if (lane >= distance) sum += below;
    }
    sums[lane] = sum - own;
    if (lane == 31) sums[32] = sum;
  }
  __syncthreads();
  total = sums[32];
  const T before = sums[warp_index()] + inclusive - value;
  __syncthreads();
  return before;
}

}  // namespace instaseg::cuda
