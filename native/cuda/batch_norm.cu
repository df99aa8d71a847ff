// batchNorm, variants:
//   simt  x * scale + shift, both computed once a channel in double and rounded to f32 by a small kernel of its own;
//   then
//         16 bytes an access where the channels allow it. f32 (the CPU's bits), f16 and bf16
#include "ops/batch_norm.h"

#include <cmath>

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;

struct Statistics {
  const float* weight;  // or null
  const float* bias;    // or null
  const float* mean;
  const float* variance;
  double epsilon;
};

__global__ void affine_kernel(Statistics s, float* __restrict__ scale, float* __restrict__ shift, int64_t channels) {
  for (int64_t c = grid_thread(); c < channels; c += grid_threads()) {
    const double factor = (s.weight ? s.weight[c] : 1.0) / std::sqrt(s.variance[c] + s.epsilon);
    scale[c] = static_cast<float>(factor);
    shift[c] = static_cast<float>((s.bias ? s.bias[c] : 0.0) - s.mean[c] * factor);
  }
}

// Items of N channels; `groups` divides by those of a pixel, `row` by those of a row of axis 0.
template <class T, int N>
__global__ void __launch_bounds__(kBlock)
    apply_kernel(const T* __restrict__ x, T* __restrict__ y, int64_t items, const float* __restrict__ scale,
                 const float* __restrict__ shift, Divider groups, Divider row, ValidRows rows) {
  for (int64_t i = grid_thread(); i < items; i += grid_threads()) {
    if (!rows.contains(row.quotient(i))) continue;
    const int64_t c = groups.split(i).remainder * N;
    const Vec<T, N> from = load_vec<N>(x + i * N);
    Vec<T, N> to;
#pragma unroll
    for (int k = 0; k < N; ++k) to[k] = from_float<T>(to_float(from[k]) * scale[c + k] + shift[c + k]);
    store_vec(y + i * N, to);
  }
}

void run(const BatchNorm& op, const KernelContext& context) {
  const auto& in = context.inputs;
  const Shape& shape = in[0].shape;
  const int64_t channels = shape.back();
  if (shape.elements() == 0) return;
  float* scale = reinterpret_cast<float*>(context.workspace);
  float* shift = scale + channels;
  const Statistics statistics{in[1].f32(), in[2].f32(), in[3].f32(), in[4].f32(), op.epsilon};
  launch(context, {.grid = blocks_for(channels, kBlock), .block = kBlock}, affine_kernel, statistics, scale, shift,
         channels);
  with_float_type(in[0].dtype, [&]<class T>() {
    const T* x = in[0].as<const T>();
    T* y = context.outputs[0].as<T>();
    with_vector_width<T>(
        channels,
        [&]<int N>() {
          const int64_t items = shape.elements() / N;
          launch(context, {.grid = blocks_for(items, kBlock), .block = kBlock}, apply_kernel<T, N>, x, y, items, scale,
                 shift, Divider(channels / N), Divider(items / shape[0]), ValidRows(shape[0], in[5]));
        },
        x, y);
  });
}

size_t workspace(const BatchNorm&, const Specs& inputs, const Specs&, int) {
  return static_cast<size_t>(inputs[0].shape.back()) * 2 * sizeof(float);
}

const KernelRegistrations<BatchNorm> simt(kFloatTypes,
                                          {.variant = "simt", .rank = 10, .workspace = workspace, .run = run});

}  // namespace
}  // namespace instaseg::cuda
