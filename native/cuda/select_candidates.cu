// selectCandidates, variants:
//   segments  a warp a row, four rows at a time, segments of 256 rows over the whole GPU; then one block an image
//   orders
//             what passed (cuda/survivors.h). The scores are read once, and their read bounds the time
#include "ops/select_candidates.h"

#include "cuda/survivors.h"

namespace instaseg::cuda {
namespace {

constexpr int kRowsAtOnce = 4;

/// `classes` with the background, which comes first.
__global__ void __launch_bounds__(kSurvivorSegment, 4)
    select_kernel(const float* __restrict__ scores, int64_t rows, int64_t classes, float threshold, Survivors s) {
  const int64_t image = blockIdx.y;
  const int64_t first = int64_t{blockIdx.x} * kSurvivorSegment + warp_index() * 32;
  float own = NAN;  // the best score of row first + lane, NaN where it does not pass
  for (int part = 0; part < 32 && first + part < rows; part += kRowsAtOnce) {
    float best[kRowsAtOnce];
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      best[r] = -INFINITY;
      const int64_t row = first + part + r;
      if (!(row < rows)) continue;
      const float* x = scores + (image * rows + row) * classes;
      for (int64_t c = 1 + lane_index(); c < classes; c += 32) {
        const float score = x[c];
        // A NaN stays.
        if (score > best[r] || score != score) best[r] = score;
      }
    }
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      if (!__any_sync(kAllLanes, best[r] > threshold)) continue;
      const bool number = __all_sync(kAllLanes, best[r] == best[r]);
      for (int distance = 16; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(kAllLanes, best[r], distance);
        best[r] = other > best[r] ? other : best[r];
      }
      if (number && lane_index() == part + r) own = best[r];
    }
  }
  const bool passes = own > threshold;
  s.collect(image, blockIdx.x, passes, order_pair(descending_key(own), first + lane_index()));
}

struct Output {
  __device__ __forceinline__ void write(int64_t image, int64_t position, int32_t index) const {
    indices[image * capacity + position] = index;
  }
  __device__ __forceinline__ void finish(int64_t image, int64_t count) const {
    counts[image] = static_cast<int32_t>(count);
  }

  int64_t capacity;
  int32_t* indices;
  int32_t* counts;
};

size_t workspace(const SelectCandidates&, const Specs& in, const Specs&, int) {
  return Survivors(nullptr, in[0].shape[0], in[0].shape[1]).bytes;
}

void run(const SelectCandidates& op, const KernelContext& context) {
  const Shape& scores = context.inputs[0].shape;
  const int64_t capacity = context.outputs[0].shape[1];
  const Survivors s(context.workspace, scores[0], scores[1]);
  launch(context,
         {.grid = {static_cast<unsigned>(s.segments), static_cast<unsigned>(scores[0])}, .block = kSurvivorSegment},
         select_kernel, context.inputs[0].f32(), scores[1], scores[2], op.threshold, s);
  write_survivors(context, s, scores[0], capacity,
                  Output{capacity, context.outputs[0].as<int32_t>(), context.outputs[1].as<int32_t>()});
}

const KernelRegistration<SelectCandidates> segments_row{
    {.variant = "segments", .device = DeviceKind::cuda, .rank = 10, .workspace = workspace, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
