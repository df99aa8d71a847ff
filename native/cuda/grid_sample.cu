// gridSample, variants:
//   simt  one item of up to 16 bytes of channels a thread; f32 (the CPU's bits), f16 and bf16
#include "ops/grid_sample.h"

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;

__device__ __forceinline__ float unnormalised(float at, int64_t size, bool align_corners) {
  const float length = static_cast<float>(size);
  return align_corners ? (at + 1.0f) / 2.0f * (length - 1.0f) : ((at + 1.0f) * length - 1.0f) / 2.0f;
}

template <class T, int N>
__global__ void __launch_bounds__(kBlock)
    sample_kernel(const T* __restrict__ input, const float* __restrict__ grid, T* __restrict__ output, NhwcItems items,
                  int64_t height, int64_t width, int64_t channels, Divider groups, bool align_corners) {
  for (int64_t i = grid_thread(); i < items.total(); i += grid_threads()) {
    const NhwcItems::Place at = items[i];
    const Vec<float, 2> position = load_vec<2>(grid + groups.quotient(i) * 2);
    const float x = unnormalised(position[0], width, align_corners);
    const float y = unnormalised(position[1], height, align_corners);
    float sum[N] = {};
    // NaN fails this test, and what passes it converts to integers safely.
    if (x > -1.0f && x < static_cast<float>(width) && y > -1.0f && y < static_cast<float>(height)) {
      const float left = floorf(x);
      const float top = floorf(y);
      const float right_weight = x - left;
      const float bottom_weight = y - top;
      const float weights[4] = {(1.0f - bottom_weight) * (1.0f - right_weight), (1.0f - bottom_weight) * right_weight,
                                bottom_weight * (1.0f - right_weight), bottom_weight * right_weight};
#pragma unroll
      for (int corner = 0; corner < 4; ++corner) {
        const int64_t iy = static_cast<int64_t>(top) + corner / 2;
        const int64_t ix = static_cast<int64_t>(left) + corner % 2;
        if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
        const Vec<T, N> pixel = load_vec<N>(input + ((at.n * height + iy) * width + ix) * channels + at.c);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += weights[corner] * to_float(pixel[k]);
      }
    }
    Vec<T, N> result;
#pragma unroll
    for (int k = 0; k < N; ++k) result[k] = from_float<T>(sum[k]);
    store_vec(output + i * N, result);
  }
}

void run(const GridSample& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  if (out.elements() == 0) return;
  with_float_type(context.inputs[0].dtype, [&]<class T>() {
    const T* from = context.inputs[0].as<const T>();
    T* to = context.outputs[0].as<T>();
    with_vector_width<T>(
        out[3],
        [&]<int N>() {
          const NhwcItems items(out, N);
          launch(context, {.grid = blocks_for(items.total(), kBlock), .block = kBlock}, sample_kernel<T, N>, from,
                 context.inputs[1].f32(), to, items, in[1], in[2], in[3], Divider(out[3] / N), op.align_corners);
        },
        from, to);
  });
}

const KernelRegistrations<GridSample> simt(kFloatTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
