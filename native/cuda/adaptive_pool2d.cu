// adaptivePool2d, variants:
//   simt  an output pixel of up to 16 bytes of channels is the work of one thread where cells are small, else of
//   sixteen,
//         each taking every sixteenth pixel of the cell; they combine in shared memory in a fixed order. Global pooling
//         of one image so has parallel work. f32, f16 and bf16, sums in f32
// Which of the two depends on the sizes of one image.
#include "ops/adaptive_pool2d.h"

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int kSlices = 16;
// Pixels of a cell from which on a thread does not walk it alone.
constexpr int64_t kLargeCell = 64;

struct Sizes {
  int64_t height, width, output_height, output_width, channels;
};

template <bool Max>
__device__ __forceinline__ float combine(float champion, float challenger) {
  if constexpr (!Max) return champion + challenger;
  return challenger > champion || challenger != challenger ? challenger : champion;
}

// Slices threads of a block share an item, `kBlock / Slices` items apart.
template <class T, int N, bool Max, int Slices>
__global__ void __launch_bounds__(kBlock)
    pool_kernel(const T* __restrict__ input, T* __restrict__ output, NhwcItems items, Sizes sizes, ValidRows rows) {
  constexpr int kItems = kBlock / Slices;
  INSTASEG_SHARED(float, partial, Slices > 1 ? kBlock * N : 1);
  const int column = static_cast<int>(threadIdx.x) % kItems;
  const int slice = static_cast<int>(threadIdx.x) / kItems;
  for (int64_t first = int64_t{blockIdx.x} * kItems; first < items.total(); first += int64_t{gridDim.x} * kItems) {
    const int64_t i = first + column;
    const NhwcItems::Place at = items[i < items.total() ? i : first];
    const bool active = i < items.total() && rows.contains(at.n);
    const AdaptivePool2d::Range y = AdaptivePool2d::cell(at.y, sizes.height, sizes.output_height);
    const AdaptivePool2d::Range x = AdaptivePool2d::cell(at.x, sizes.width, sizes.output_width);
    const int64_t cell_width = x.end - x.begin;
    const int64_t pixels = (y.end - y.begin) * cell_width;
    float result[N];
#pragma unroll
    for (int k = 0; k < N; ++k) result[k] = Max ? -INFINITY : 0.0f;
    if (active) {
      const T* image = input + at.n * sizes.height * sizes.width * sizes.channels + at.c;
      int64_t iy = y.begin + slice / cell_width;
      int64_t ix = x.begin + slice % cell_width;
      for (int64_t pixel = slice; pixel < pixels; pixel += Slices) {
        const Vec<T, N> values = load_vec<N>(image + (iy * sizes.width + ix) * sizes.channels);
#pragma unroll
        for (int k = 0; k < N; ++k) result[k] = combine<Max>(result[k], to_float(values[k]));
        for (ix += Slices; ix >= x.end; ix -= cell_width) ++iy;
      }
    }
    if constexpr (Slices > 1) {
#pragma unroll
      for (int k = 0; k < N; ++k) partial[k * kBlock + threadIdx.x] = result[k];
      for (int half = Slices / 2; half > 0; half /= 2) {
        __syncthreads();
        if (slice < half) {
#pragma unroll
          for (int k = 0; k < N; ++k) {
            float& sum = partial[k * kBlock + threadIdx.x];
            sum = combine<Max>(sum, partial[k * kBlock + threadIdx.x + half * kItems]);
          }
        }
      }
#pragma unroll
      for (int k = 0; k < N && slice == 0; ++k) result[k] = partial[k * kBlock + column];
      __syncthreads();
    }
    if (!active || slice > 0) continue;
    Vec<T, N> values;
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] = from_float<T>(Max ? result[k] : result[k] / static_cast<float>(pixels));
    store_vec(output + i * N, values);
  }
}

void run(const AdaptivePool2d& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  if (out.elements() == 0) return;
  const Sizes sizes{in[1], in[2], out[1], out[2], in[3]};
  const ValidRows rows(in[0], input_or_absent(context, 1));
  const bool large = (in[1] / out[1] + 1) * (in[2] / out[2] + 1) > kLargeCell;
  with_float_type(context.inputs[0].dtype, [&]<class T>() {
    const T* from = context.inputs[0].as<const T>();
    T* to = context.outputs[0].as<T>();
    with_vector_width<T>(
        in[3],
        [&]<int N>() {
          const NhwcItems items(out, N);
          const auto pool = [&]<int Slices>() {
            launch(context, {.grid = blocks_for(items.total(), kBlock / Slices), .block = kBlock},
                   op.max ? pool_kernel<T, N, true, Slices> : pool_kernel<T, N, false, Slices>, from, to, items, sizes,
                   rows);
          };
          large ? pool.template operator()<kSlices>() : pool.template operator()<1>();
        },
        from, to);
  });
}

const KernelRegistrations<AdaptivePool2d> simt(kFloatTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
