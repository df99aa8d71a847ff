// yolactBoxes, variants:
//   simt  one box a thread; there are a hundred an image
#include "ops/yolact_boxes.h"

#include "cuda/boxes.h"
#include "cuda/launch.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 256;

__global__ void yolact_boxes_kernel(YolactBoxes op, const Box* __restrict__ boxes, const int32_t* __restrict__ sizes,
                                    int32_t* __restrict__ output, int64_t count, RowCounts counts) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    const int64_t image = i / counts.capacity;
    if (!(i % counts.capacity < counts[image])) continue;
    const Box box = load_box(boxes, i);
    Vec<int32_t, 4> placed;
    op.place(box.x1, box.x2, sizes[image * 4 + 1], placed[0], placed[2]);
    op.place(box.y1, box.y2, sizes[image * 4], placed[1], placed[3]);
    store_vec(output + i * 4, placed);
  }
}

void run(const YolactBoxes& op, const KernelContext& context) {
  const RowCounts counts = RowCounts::of_groups(context.inputs[0].shape[1], input_or_absent(context, 2));
  const int64_t count = context.inputs[0].elements() / 4;
  launch(context, {.grid = blocks_for(count, kBlock), .block = kBlock}, yolact_boxes_kernel, op,
         context.inputs[0].as<const Box>(), context.inputs[1].i32(), context.outputs[0].as<int32_t>(), count, counts);
}

const KernelRegistration<YolactBoxes> simt_row{{.variant = "simt", .device = DeviceKind::cuda, .rank = 10, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
