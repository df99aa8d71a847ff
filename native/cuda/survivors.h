// Candidates that pass a test, in ascending order of their indices, and where there are too many the best of them
// (filterBoxes, selectCandidates). A block a segment of 256 candidates collects those that pass; then one block an
// image cuts and writes them.
#pragma once

#include "cuda/launch.h"
#include "cuda/order.h"
#include "runtime/carver.h"

namespace instaseg::cuda {

inline constexpr unsigned kSurvivorSegment = 256;

struct Survivors {
  Survivors(char* base, int64_t images, int64_t candidates)
      : segments((candidates + kSurvivorSegment - 1) / kSurvivorSegment) {
    Carver carver(base);
    pairs = carver.take<uint64_t>(images * segments * kSurvivorSegment);
    sizes = carver.take<int32_t>(images * segments);
    starts = carver.take<int32_t>(images * segments);
    bytes = carver.used();
  }

  /// Called by a block of kSurvivorSegment threads for a segment: thread t brings candidate t of it.
  __device__ __forceinline__ void collect(int64_t image, int64_t segment, bool passes, uint64_t pair) const {
    int size;
    const int at = block_prefix_sum(passes ? 1 : 0, size);
    const int64_t row = image * segments + segment;
    if (passes) pairs[row * kSurvivorSegment + at] = pair;
    if (threadIdx.x == 0) sizes[row] = size;
  }

  int64_t segments;  ///< an image
  uint64_t* pairs;   ///< [image][segment][kSurvivorSegment], ascending by index
  int32_t* sizes;    ///< of the segments
  int32_t* starts;   ///< positions of the segments' first results
  size_t bytes;
};

/// One block an image. `write(image, position, index)` takes the results, `finish(image, count)` their number.
template <class Output>
__global__ void __launch_bounds__(1024, 1) write_survivors_kernel(Survivors s, int64_t capacity, Output output) {
  const int64_t image = blockIdx.x;
  const uint64_t* pairs = s.pairs + image * s.segments * kSurvivorSegment;
  const int32_t* sizes = s.sizes + image * s.segments;
  int32_t* starts = s.starts + image * s.segments;
  int64_t passed = 0;
  for (int64_t segment = threadIdx.x; segment < s.segments; segment += blockDim.x) passed += sizes[segment];
  int64_t total;
  block_prefix_sum(passed, total);
  const int64_t count = total < capacity ? total : capacity;
  if (threadIdx.x == 0) output.finish(image, count);
  if (count == 0) return;

  uint64_t limit = kNoPair;
  if (total > capacity) {
    limit = select_limit(s.segments * kSurvivorSegment, capacity, [&](int64_t i) {
      return static_cast<int64_t>(i % kSurvivorSegment) < sizes[i / kSurvivorSegment] ? pairs[i] : kNoPair;
    });
  }
  // Results a segment, then where each starts.
  const auto taken = [&](int64_t segment, int i) {
    return i < sizes[segment] && pairs[segment * kSurvivorSegment + i] <= limit;
  };
  for (int64_t segment = warp_index(); segment < s.segments; segment += warp_count()) {
    int results = sizes[segment];
    if (limit != kNoPair) {
      const int size = results;
      results = 0;
      for (int i = 0; i < size; i += 32) results += __popc(__ballot_sync(kAllLanes, taken(segment, i + lane_index())));
    }
    if (lane_index() == 0) starts[segment] = results;
  }
  __syncthreads();
  int carried = 0;
  for (int64_t first = 0; first < s.segments; first += blockDim.x) {
    const int64_t segment = first + threadIdx.x;
    int sum;
    const int before = block_prefix_sum(segment < s.segments ? starts[segment] : 0, sum);
    if (segment < s.segments) starts[segment] = carried + before;
    carried += sum;
  }
  __syncthreads();
  for (int64_t segment = warp_index(); segment < s.segments; segment += warp_count()) {
    int at = starts[segment];
    for (int i = 0; i < sizes[segment]; i += 32) {
      const bool take = taken(segment, i + lane_index());
      const unsigned lanes = __ballot_sync(kAllLanes, take);
      if (take) {
        output.write(image, at + lanes_before(lanes), pair_index(pairs[segment * kSurvivorSegment + i + lane_index()]));
      }
      at += __popc(lanes);
    }
  }
}

template <class Output>
void write_survivors(const KernelContext& context, const Survivors& s, int64_t images, int64_t capacity,
                     const Output& output) {
  // Results are the same for any size; a large block only pays where there is something to read.
  const unsigned block = s.segments > 16 ? 1024 : 256;
  launch(context, {.grid = static_cast<unsigned>(images), .block = block}, write_survivors_kernel<Output>, s, capacity,
         output);
}

}  // namespace instaseg::cuda
