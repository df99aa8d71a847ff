// filterBoxes, variants:
//   segments  one candidate a thread, segments of 256 over the whole GPU; then one block an image orders what passed
//             (cuda/survivors.h), and selects where it is too much. The second launch costs little while few pass, and
//             reads the survivors about four times where they exceed the capacity
#include "ops/filter_boxes.h"

#include "cuda/boxes.h"
#include "cuda/survivors.h"

namespace instaseg::cuda {
namespace {

__global__ void __launch_bounds__(kSurvivorSegment)
    filter_kernel(FilterBoxes op, const Box* __restrict__ boxes, const float* __restrict__ scores, RowCounts counts,
                  int64_t candidates, Survivors s) {
  const int64_t image = blockIdx.y;
  const int64_t m = int64_t{blockIdx.x} * kSurvivorSegment + threadIdx.x;
  bool passes = false;
  uint64_t pair = kNoPair;
  if (m < candidates && m < counts[image] * op.classes) {
    const int64_t at = image * candidates + m;
    const float score = scores[at];
    // Boxes are read where scores are good enough: for detections, hardly ever.
    passes = score > op.score_threshold && op.passes(load_box(boxes, at), score, m);
    pair = order_pair(descending_key(score), m);
  }
  s.collect(image, blockIdx.x, passes, pair);
}

struct Output {
  __device__ __forceinline__ void write(int64_t image, int64_t position, int32_t index) const {
    indices[image * capacity + position] = index;
    labels[image * capacity + position] = static_cast<int32_t>(index % classes);
  }
  __device__ __forceinline__ void finish(int64_t image, int64_t count) const {
    counts[image] = static_cast<int32_t>(count);
  }

  int64_t capacity;
  int64_t classes;
  int32_t* indices;
  int32_t* labels;
  int32_t* counts;
};

size_t workspace(const FilterBoxes&, const Specs& in, const Specs&, int) {
  return Survivors(nullptr, in[0].shape[0], FilterBoxes::candidates(in[1].shape)).bytes;
}

void run(const FilterBoxes& op, const KernelContext& context) {
  const int64_t images = context.inputs[0].shape[0];
  const int64_t candidates = FilterBoxes::candidates(context.inputs[1].shape);
  const int64_t capacity = context.outputs[0].shape[1];
  const Survivors s(context.workspace, images, candidates);
  launch(context,
         {.grid = {static_cast<unsigned>(s.segments), static_cast<unsigned>(images)}, .block = kSurvivorSegment},
         filter_kernel, op, context.inputs[0].as<const Box>(), context.inputs[1].f32(),
         RowCounts::of_groups(candidates / op.classes, input_or_absent(context, 2)), candidates, s);
  write_survivors(context, s, images, capacity,
                  Output{capacity, op.classes, context.outputs[0].as<int32_t>(), context.outputs[1].as<int32_t>(),
                         context.outputs[2].as<int32_t>()});
}

const KernelRegistration<FilterBoxes> segments_row{
    {.variant = "segments", .device = DeviceKind::cuda, .rank = 10, .workspace = workspace, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
