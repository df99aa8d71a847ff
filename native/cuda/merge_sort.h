// Sorting whole rows of any length (sort; topK of many): tiles by one block each in shared memory, then merging passes,
// each one launch, in which every element finds its place by a binary search in the run beside its own.
#pragma once

#include <utility>

#include "cuda/boxes.h"
#include "cuda/launch.h"
#include "cuda/order.h"
#include "runtime/carver.h"

namespace instaseg::cuda {

/// Rows of `columns` values in, the first `kept` places of each out.
struct SortJob {
  __device__ __forceinline__ uint64_t pair(int64_t row, int64_t i) const {
    const float x = input[row * counts.capacity + i];
    return order_pair(descending ? descending_key(x) : ascending_key(x), i);
  }
  __device__ __forceinline__ void write(int64_t row, int64_t position, uint64_t pair) const {
    if (position >= kept) return;
    const int32_t index = pair_index(pair);
    indices[row * kept + position] = index;
    values[row * kept + position] = input[row * counts.capacity + index];
  }

  const float* input;
  int64_t rows;
  /// Valid entries of each row; their capacity is the row's length.
  RowCounts counts;
  bool descending;
  int64_t kept;
  float* values;
  int32_t* indices;
};

namespace detail {

inline constexpr unsigned kSortBlock = 256;

template <bool Last>
__global__ void sort_tiles_kernel(SortJob job, uint64_t* sorted) {
  INSTASEG_SHARED(uint64_t, pairs, kSharedPairs);
  const int64_t begin = int64_t{blockIdx.x} * kSharedPairs;
  for (int64_t row = blockIdx.y; row < job.rows; row += gridDim.y) {
    const int64_t left = job.counts[row] - begin;
    const int64_t count = left < kSharedPairs ? left : kSharedPairs;
    if (count <= 0) continue;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) pairs[i] = job.pair(row, begin + i);
    block_sort(pairs, count);
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
      if constexpr (Last) {
        job.write(row, i, pairs[i]);
      } else {
        sorted[row * job.counts.capacity + begin + i] = pairs[i];
      }
    }
    __syncthreads();
  }
}

/// Merges neighbouring runs of `width` pairs.
template <bool Last>
__global__ void merge_runs_kernel(SortJob job, const uint64_t* from, uint64_t* to, int64_t width) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (int64_t row = blockIdx.y; row < job.rows; row += gridDim.y) {
    const int64_t count = job.counts[row];
    if (i >= count) continue;
    const uint64_t* pairs = from + row * job.counts.capacity;
    const uint64_t pair = pairs[i];
    const int64_t begin = i / width * width;
    const int64_t left = begin / width % 2 == 0 ? begin : begin - width;  // of both runs
    int64_t low = left == begin ? begin + width : left;
    int64_t high = low + width < count ? low + width : count;
    const int64_t other = low;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (pairs[middle] < pair) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const int64_t position = left + (i - begin) + (low - other);
    if constexpr (Last) {
      job.write(row, position, pair);
    } else {
      to[row * job.counts.capacity + position] = pair;
    }
  }
}

inline unsigned grid_rows(int64_t rows) { return static_cast<unsigned>(rows < 65535 ? rows : 65535); }

}  // namespace detail

inline size_t merge_sort_workspace(int64_t rows, int64_t columns) {
  if (columns <= kSharedPairs) return 0;
  Carver carver(nullptr);
  carver.take<uint64_t>(rows * columns);
  carver.take<uint64_t>(rows * columns);
  return carver.used();
}

inline void merge_sort(const KernelContext& context, const SortJob& job) {
  using detail::kSortBlock;
  const int64_t columns = job.counts.capacity;
  const unsigned rows = detail::grid_rows(job.rows);
  const dim3 tiles{static_cast<unsigned>((columns + kSharedPairs - 1) / kSharedPairs), rows};
  if (columns <= kSharedPairs) {
    uint64_t* nowhere = nullptr;
    launch(context, {.grid = tiles, .block = kSortBlock}, detail::sort_tiles_kernel<true>, job, nowhere);
    return;
  }
  Carver carver(context.workspace);
  uint64_t* from = carver.take<uint64_t>(job.rows * columns);
  uint64_t* to = carver.take<uint64_t>(job.rows * columns);
  launch(context, {.grid = tiles, .block = kSortBlock}, detail::sort_tiles_kernel<false>, job, from);
  const dim3 grid{static_cast<unsigned>((columns + kSortBlock - 1) / kSortBlock), rows};
  for (int64_t width = kSharedPairs; width < columns; width *= 2) {
    if (width * 2 >= columns) {
      launch(context, {.grid = grid, .block = kSortBlock}, detail::merge_runs_kernel<true>, job, from, to, width);
    } else {
      launch(context, {.grid = grid, .block = kSortBlock}, detail::merge_runs_kernel<false>, job, from, to, width);
    }
    std::swap(from, to);
  }
}

}  // namespace instaseg::cuda
