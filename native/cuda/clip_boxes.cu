// clipBoxes, variants:
//   simt  one box a thread
#include "ops/clip_boxes.h"

#include "cuda/boxes.h"
#include "cuda/launch.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 256;

struct Limits {
  __device__ __forceinline__ float height(int64_t image) const { return limit(image, 0, fixed_height); }
  __device__ __forceinline__ float width(int64_t image) const { return limit(image, 1, fixed_width); }
  __device__ __forceinline__ float limit(int64_t image, int axis, int64_t fixed) const {
    return static_cast<float>(sizes ? sizes[image * 4 + axis] : fixed);
  }

  const int32_t* sizes;  ///< height and width in rows of 4, or null
  int64_t fixed_height, fixed_width;
};

/// `boxes` a row.
__global__ void clip_boxes_kernel(const Box* __restrict__ input, Box* __restrict__ output, int64_t count, int64_t boxes,
                                  RowCounts counts, Limits limits) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    const int64_t row = i / boxes;
    const int64_t image = row / counts.capacity;
    if (!(row % counts.capacity < counts[image])) continue;
    const float width = limits.width(image);
    const float height = limits.height(image);
    const Box box = load_box(input, i);
    store_box(output, i,
              {clip_coordinate(box.x1, width), clip_coordinate(box.y1, height), clip_coordinate(box.x2, width),
               clip_coordinate(box.y2, height)});
  }
}

void run(const ClipBoxes& op, const KernelContext& context) {
  const TensorView sizes = input_or_absent(context, 1);
  const BoxRows rows = box_rows(ClipBoxes::name, {.shape = context.inputs[0].shape},
                                {.dtype = sizes.dtype, .shape = sizes.shape, .absent = !sizes});
  const RowCounts counts = RowCounts::of_groups(rows.rows, input_or_absent(context, 2));
  const Limits limits{.sizes = sizes ? sizes.i32() + (op.original ? 0 : 2) : nullptr,
                      .fixed_height = op.size.y,
                      .fixed_width = op.size.x};
  const int64_t count = context.inputs[0].elements() / 4;
  launch(context, {.grid = blocks_for(count, kBlock), .block = kBlock}, clip_boxes_kernel,
         context.inputs[0].as<const Box>(), context.outputs[0].as<Box>(), count, rows.boxes, counts, limits);
}

const KernelRegistration<ClipBoxes> simt_row{{.variant = "simt", .device = DeviceKind::cuda, .rank = 10, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
