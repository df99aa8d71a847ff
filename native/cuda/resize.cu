// resize, variants:
//   simt  one item of up to 16 bytes of channels a thread. Bilinear reads its taps from a table that a kernel of its
//   own
//         fills first, so that the coordinates' doubles cost nothing a pixel. f32 (the bits of the CPU's fast variants:
//         rows are mixed first, then columns), f16 and bf16
#include "ops/resize.h"

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "ops/linear_axis.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;

struct Axis {
  int64_t input, output;
  float step;
};

// Taps of the output's rows, then of its columns.
__global__ void taps_kernel(LinearTap* taps, Axis y, Axis x, bool align_corners) {
  for (int64_t i = grid_thread(); i < y.output + x.output; i += grid_threads()) {
    taps[i] = i < y.output ? linear_tap(i, y.input, y.output, y.step, align_corners)
                           : linear_tap(i - y.output, x.input, x.output, x.step, align_corners);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kBlock)
    bilinear_kernel(const T* __restrict__ input, T* __restrict__ output, const LinearTap* __restrict__ taps,
                    NhwcItems items, int64_t rows, int64_t input_rows, int64_t input_columns, int64_t channels) {
  for (int64_t i = grid_thread(); i < items.total(); i += grid_threads()) {
    const NhwcItems::Place at = items[i];
    const LinearTap y = taps[at.y];
    const LinearTap x = taps[rows + at.x];
    const T* upper = input + (at.n * input_rows + y.first) * input_columns * channels + at.c;
    const T* lower = input + (at.n * input_rows + y.second) * input_columns * channels + at.c;
    const Vec<T, N> upper_left = load_vec<N>(upper + x.first * channels);
    const Vec<T, N> upper_right = load_vec<N>(upper + x.second * channels);
    const Vec<T, N> lower_left = load_vec<N>(lower + x.first * channels);
    const Vec<T, N> lower_right = load_vec<N>(lower + x.second * channels);
    Vec<T, N> result;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float left = y.first_weight * to_float(upper_left[k]) + y.second_weight * to_float(lower_left[k]);
      const float right = y.first_weight * to_float(upper_right[k]) + y.second_weight * to_float(lower_right[k]);
      result[k] = from_float<T>(x.first_weight * left + x.second_weight * right);
    }
    store_vec(output + i * N, result);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kBlock)
    nearest_kernel(const T* __restrict__ input, T* __restrict__ output, NhwcItems items, Axis y, Axis x, float offset,
                   int64_t channels) {
  for (int64_t i = grid_thread(); i < items.total(); i += grid_threads()) {
    const NhwcItems::Place at = items[i];
    const int64_t iy = nearest_pixel(offset, at.y, y.input, y.step);
    const int64_t ix = nearest_pixel(offset, at.x, x.input, x.step);
    store_vec(output + i * N, load_vec<N>(input + ((at.n * y.input + iy) * x.input + ix) * channels + at.c));
  }
}

void run(const Resize& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  if (out.elements() == 0) return;
  const Axis y{in[1], out[1], op.step(0, in[1], out[1])};
  const Axis x{in[2], out[2], op.step(1, in[2], out[2])};
  LinearTap* taps = reinterpret_cast<LinearTap*>(context.workspace);
  if (op.mode == Resize::bilinear) {
    launch(context, {.grid = blocks_for(out[1] + out[2], kBlock), .block = kBlock}, taps_kernel, taps, y, x,
           op.align_corners);
  }
  with_float_type(context.inputs[0].dtype, [&]<class T>() {
    const T* from = context.inputs[0].as<const T>();
    T* to = context.outputs[0].as<T>();
    with_vector_width<T>(
        out[3],
        [&]<int N>() {
          const NhwcItems items(out, N);
          const LaunchConfig config{.grid = blocks_for(items.total(), kBlock), .block = kBlock};
          if (op.mode == Resize::bilinear) {
            launch(context, config, bilinear_kernel<T, N>, from, to, taps, items, out[1], in[1], in[2], out[3]);
          } else {
            launch(context, config, nearest_kernel<T, N>, from, to, items, y, x, op.nearest_offset(), out[3]);
          }
        },
        from, to);
  });
}

size_t workspace(const Resize& op, const Specs&, const Specs& outputs, int) {
  const Shape& out = outputs[0].shape;
  return op.mode == Resize::bilinear ? static_cast<size_t>(out[1] + out[2]) * sizeof(LinearTap) : 0;
}

const KernelRegistrations<Resize> simt(kFloatTypes,
                                       {.variant = "simt", .rank = 10, .workspace = workspace, .run = run});

}  // namespace
}  // namespace instaseg::cuda
