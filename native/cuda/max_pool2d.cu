// maxPool2d, variants:
//   simt  one item of up to 16 bytes of channels a thread, which walks its window; windows that overlap meet in the
//         caches. f32, f16 and bf16
#include "ops/max_pool2d.h"

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;

// A later NaN replaces an earlier one, as in PyTorch (only their positions differ).
__device__ __forceinline__ bool wins(float challenger, float champion) {
  return challenger > champion || challenger != challenger;
}

template <class T, int N, bool Indices>
__global__ void __launch_bounds__(kBlock)
    pool_kernel(const T* __restrict__ input, T* __restrict__ output, int32_t* __restrict__ indices, NhwcItems items,
                PoolWindow window, int64_t height, int64_t width, int64_t channels) {
  for (int64_t i = grid_thread(); i < items.total(); i += grid_threads()) {
    const NhwcItems::Place at = items[i];
    const T* image = input + at.n * height * width * channels + at.c;
    const int64_t top = at.y * window.stride.y - window.padding.y;
    const int64_t left = at.x * window.stride.x - window.padding.x;
    float highest[N];
    int32_t positions[N];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      highest[k] = -INFINITY;
      positions[k] = -1;
    }
    for (int64_t ky = 0; ky < window.kernel.y; ++ky) {
      const int64_t iy = top + ky * window.dilation.y;
      if (iy < 0 || iy >= height) continue;
      for (int64_t kx = 0; kx < window.kernel.x; ++kx) {
        const int64_t ix = left + kx * window.dilation.x;
        if (ix < 0 || ix >= width) continue;
        const Vec<T, N> pixel = load_vec<N>(image + (iy * width + ix) * channels);
#pragma unroll
        for (int k = 0; k < N; ++k) {
          const float value = to_float(pixel[k]);
          // The first pixel is taken whatever it holds, minus infinity included.
          if (!wins(value, highest[k]) && !(Indices && positions[k] < 0)) continue;
          highest[k] = value;
          if constexpr (Indices) positions[k] = static_cast<int32_t>(iy * width + ix);
        }
      }
    }
    Vec<T, N> result;
#pragma unroll
    for (int k = 0; k < N; ++k) result[k] = from_float<T>(highest[k]);
    store_vec(output + i * N, result);
    if constexpr (Indices) {
#pragma unroll
      for (int k = 0; k < N; ++k) indices[i * N + k] = positions[k] < 0 ? 0 : positions[k];
    }
  }
}

void run(const MaxPool2d& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  with_float_type(context.inputs[0].dtype, [&]<class T>() {
    const T* from = context.inputs[0].as<const T>();
    T* to = context.outputs[0].as<T>();
    with_vector_width<T>(
        out[3],
        [&]<int N>() {
          const NhwcItems items(out, N);
          const LaunchConfig config{.grid = blocks_for(items.total(), kBlock), .block = kBlock};
          if (op.indices) {
            launch(context, config, pool_kernel<T, N, true>, from, to, context.outputs[1].as<int32_t>(), items,
                   op.window, in[1], in[2], in[3]);
          } else {
            launch(context, config, pool_kernel<T, N, false>, from, to, static_cast<int32_t*>(nullptr), items,
                   op.window, in[1], in[2], in[3]);
          }
        },
        from, to);
  });
}

const KernelRegistrations<MaxPool2d> simt(kFloatTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
