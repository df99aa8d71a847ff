// decodeBoxes, variants:
//   simt  one output box a thread: bound by memory, but for the f64 of exp where a GPU has little of it (one multiply
//   in
//         64 on consumer parts), which the number of proposals keeps small
#include "ops/decode_boxes.h"

#include "cuda/boxes.h"
#include "cuda/launch.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 256;

/// Output box i belongs to row i / classes; the boxes repeat every `box_count` rows.
__global__ void decode_boxes_kernel(DecodeBoxes op, const Box* __restrict__ boxes, const Box* __restrict__ deltas,
                                    Box* __restrict__ output, int64_t count, int64_t classes, int64_t box_count,
                                    RowCounts counts) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    const int64_t row = i / classes;
    if (!counts.valid(row)) continue;
    store_box(output, i, op.decode(load_box(boxes, row % box_count), load_box(deltas, i)));
  }
}

void run(const DecodeBoxes& op, const KernelContext& context) {
  const Shape& shape = context.outputs[0].shape;
  const int64_t classes = shape[shape.rank() - 2];
  const int64_t count = context.outputs[0].elements() / 4;
  const RowCounts counts = RowCounts::of_rows(classes ? count / classes : 0, input_or_absent(context, 2));
  launch(context, {.grid = blocks_for(count, kBlock), .block = kBlock}, decode_boxes_kernel, op,
         context.inputs[0].as<const Box>(), context.inputs[1].as<const Box>(), context.outputs[0].as<Box>(), count,
         classes, context.inputs[0].elements() / 4, counts);
}

const KernelRegistration<DecodeBoxes> simt_row{{.variant = "simt", .device = DeviceKind::cuda, .rank = 10, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
