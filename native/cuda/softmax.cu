// softmax, variants:
//   simt  along the last axis one warp a slice, its lanes taking turns; along another axis one thread a column, its
//         neighbours reading the neighbouring columns. Both read the input three times (maximum, sum, result) rather
//         than keep rounded exponentials; slices of a row fit the caches. f32, f16 and bf16, sums in f32
// Slices of rows past the counts are skipped.
#include "ops/softmax.h"

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / 32;

// The input as [row of axis 0][middle][axis][inner]; with axis 0 itself there is one row.
struct Layout {
  Layout(const Softmax& op, const Shape& shape) {
    const int at = op.resolved_axis(shape);
    rows = at > 0 ? shape[0] : 1;
    middle = at > 0 ? shape.elements(1, at) : 1;
    axis = shape[at];
    inner = shape.elements(at + 1, shape.rank());
  }
  int64_t rows, middle, axis, inner;
};

// A NaN never becomes the highest value, but makes the sum, and so the whole slice, NaN.
__device__ __forceinline__ float higher(float a, float b) { return a > b ? a : b; }

template <class T>
__global__ void __launch_bounds__(kBlock) along_kernel(const T* __restrict__ x, T* __restrict__ y, int64_t slices,
                                                       int64_t axis, Divider middle, ValidRows rows) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t first = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  for (int64_t slice = first; slice < slices; slice += int64_t{gridDim.x} * kWarps) {
    if (!rows.contains(middle.quotient(slice))) continue;
    const T* from = x + slice * axis;
    T* to = y + slice * axis;
    float highest = -INFINITY;
    for (int64_t k = lane; k < axis; k += 32) highest = higher(to_float(from[k]), highest);
    for (int step = 16; step > 0; step /= 2) highest = higher(__shfl_xor_sync(0xffffffffu, highest, step), highest);
    float sum = 0.0f;
    for (int64_t k = lane; k < axis; k += 32) sum += expf(to_float(from[k]) - highest);
    // Both partners of a step add the same two numbers, so all lanes end with the same sum.
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    for (int64_t k = lane; k < axis; k += 32) to[k] = from_float<T>(expf(to_float(from[k]) - highest) / sum);
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) across_kernel(const T* __restrict__ x, T* __restrict__ y, int64_t columns,
                                                        int64_t axis, Divider inner, Divider middle, ValidRows rows) {
  for (int64_t i = grid_thread(); i < columns; i += grid_threads()) {
    const Divider::Split at = inner.split(i);
    if (!rows.contains(middle.quotient(at.quotient))) continue;
    const int64_t stride = inner.divisor();
    const int64_t offset = at.quotient * axis * stride + at.remainder;
    const T* from = x + offset;
    T* to = y + offset;
    float highest = -INFINITY;
    for (int64_t k = 0; k < axis; ++k) highest = higher(to_float(from[k * stride]), highest);
    float sum = 0.0f;
    for (int64_t k = 0; k < axis; ++k) sum += expf(to_float(from[k * stride]) - highest);
    for (int64_t k = 0; k < axis; ++k) {
      to[k * stride] = from_float<T>(expf(to_float(from[k * stride]) - highest) / sum);
    }
  }
}

void run(const Softmax& op, const KernelContext& context) {
  const Layout layout(op, context.inputs[0].shape);
  if (layout.axis == 0) return;
  const ValidRows rows(layout.rows, context.inputs[1]);
  const int64_t slices = layout.rows * layout.middle;
  with_float_type(context.inputs[0].dtype, [&]<class T>() {
    const T* x = context.inputs[0].as<const T>();
    T* y = context.outputs[0].as<T>();
    if (layout.inner == 1) {
      launch(context, {.grid = blocks_for(slices, kWarps), .block = kBlock}, along_kernel<T>, x, y, slices, layout.axis,
             Divider(layout.middle), rows);
    } else {
      const int64_t columns = slices * layout.inner;
      launch(context, {.grid = blocks_for(columns, kBlock), .block = kBlock}, across_kernel<T>, x, y, columns,
             layout.axis, Divider(layout.inner), Divider(layout.middle), rows);
    }
  });
}

const KernelRegistrations<Softmax> simt(kFloatTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
