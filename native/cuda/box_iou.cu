// boxIou, variants:
//   simt  a block a row of `a` and 256 boxes of `b`: the results are all that is written, and their write bounds the
//   time
#include "ops/box_iou.h"

#include "cuda/boxes.h"
#include "cuda/launch.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 256;
constexpr unsigned kMaxRows = 65535;  // of a grid

__global__ void box_iou_kernel(const Box* __restrict__ a, const Box* __restrict__ b, float* __restrict__ output,
                               int64_t rows, int64_t columns) {
  const int64_t column = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (!(column < columns)) return;
  const Box second = load_box(b, column);
  const float area = box_area(second);
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const Box first = load_box(a, row);
    output[row * columns + column] = box_iou(first, box_area(first), second, area);
  }
}

void run(const BoxIou&, const KernelContext& context) {
  const int64_t rows = context.inputs[0].shape[0];
  const int64_t columns = context.inputs[1].shape[0];
  const dim3 grid{blocks_for(columns, kBlock, INT32_MAX), blocks_for(rows, 1, kMaxRows)};
  launch(context, {.grid = grid, .block = kBlock}, box_iou_kernel, context.inputs[0].as<const Box>(),
         context.inputs[1].as<const Box>(), context.outputs[0].as<float>(), rows, columns);
}

const KernelRegistration<BoxIou> simt_row{{.variant = "simt", .device = DeviceKind::cuda, .rank = 10, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
