// scaleBoxes, variants:
//   simt  one box a thread
#include "ops/scale_boxes.h"

#include "cuda/boxes.h"
#include "cuda/launch.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 256;

/// `boxes` a row; sizes: rows of original height and width, resized height and width.
__global__ void scale_boxes_kernel(const Box* __restrict__ input, const int32_t* __restrict__ sizes,
                                   Box* __restrict__ output, int64_t count, int64_t boxes, RowCounts counts) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    const int64_t row = i / boxes;
    const int64_t image = row / counts.capacity;
    if (!(row % counts.capacity < counts[image])) continue;
    const int32_t* size = sizes + image * 4;
    const float y = static_cast<float>(size[0]) / static_cast<float>(size[2]);
    const float x = static_cast<float>(size[1]) / static_cast<float>(size[3]);
    const Box box = load_box(input, i);
    store_box(output, i, {box.x1 * x, box.y1 * y, box.x2 * x, box.y2 * y});
  }
}

void run(const ScaleBoxes&, const KernelContext& context) {
  const BoxRows rows = box_rows(ScaleBoxes::name, {.shape = context.inputs[0].shape},
                                {.dtype = DType::i32, .shape = context.inputs[1].shape});
  const RowCounts counts = RowCounts::of_groups(rows.rows, input_or_absent(context, 2));
  const int64_t count = context.inputs[0].elements() / 4;
  launch(context, {.grid = blocks_for(count, kBlock), .block = kBlock}, scale_boxes_kernel,
         context.inputs[0].as<const Box>(), context.inputs[1].i32(), context.outputs[0].as<Box>(), count, rows.boxes,
         counts);
}

const KernelRegistration<ScaleBoxes> simt_row{{.variant = "simt", .device = DeviceKind::cuda, .rank = 10, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
