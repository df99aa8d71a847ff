// avgPool2d, variants:
//   simt  one item of up to 16 bytes of channels a thread, which adds up its window row by row; windows that overlap
//         meet in the caches. f32 (the CPU's bits), f16 and bf16, sums in f32
#include "ops/avg_pool2d.h"

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;

template <class T, int N>
__global__ void __launch_bounds__(kBlock)
    pool_kernel(const T* __restrict__ input, T* __restrict__ output, NhwcItems items, AvgPool2d op, int64_t height,
                int64_t width, int64_t channels) {
  const PoolWindow& window = op.window;
  for (int64_t i = grid_thread(); i < items.total(); i += grid_threads()) {
    const NhwcItems::Place at = items[i];
    const T* image = input + at.n * height * width * channels + at.c;
    const int64_t top = at.y * window.stride.y - window.padding.y;
    const int64_t left = at.x * window.stride.x - window.padding.x;
    float sum[N] = {};
    bool any = false;
    for (int64_t iy = top; iy < top + window.kernel.y; ++iy) {
      if (iy < 0 || iy >= height) continue;
      for (int64_t ix = left; ix < left + window.kernel.x; ++ix) {
        if (ix < 0 || ix >= width) continue;
        const Vec<T, N> pixel = load_vec<N>(image + (iy * width + ix) * channels);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += to_float(pixel[k]);
        any = true;
      }
    }
    const float count = any ? static_cast<float>(op.divisor_of({height, width}, {top, left})) : 1.0f;
    Vec<T, N> result;
#pragma unroll
    for (int k = 0; k < N; ++k) result[k] = from_float<T>(sum[k] / count);
    store_vec(output + i * N, result);
  }
}

void run(const AvgPool2d& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  with_float_type(context.inputs[0].dtype, [&]<class T>() {
    const T* from = context.inputs[0].as<const T>();
    T* to = context.outputs[0].as<T>();
    with_vector_width<T>(
        in[3],
        [&]<int N>() {
          const NhwcItems items(context.outputs[0].shape, N);
          launch(context, {.grid = blocks_for(items.total(), kBlock), .block = kBlock}, pool_kernel<T, N>, from, to,
                 items, op, in[1], in[2], in[3]);
        },
        from, to);
  });
}

const KernelRegistrations<AvgPool2d> simt(kFloatTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
