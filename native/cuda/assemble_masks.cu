// assembleMasks, variants:
//   simt  a thread a cell and 8 masks: the prototypes of a cell are read once for 8 masks, in 16-byte vectors where
//   their
//         number allows, coefficients come from shared memory. Products are f32 FMAs in the order of the prototypes
//         whatever the dtype; there is too little work (0.1 GFLOP for 100 masks) for tensor cores to pay. Cells outside
//         all 8 boxes only write zeros
#include "ops/assemble_masks.h"

#include "cuda/boxes.h"
#include "cuda/launch.h"
#include "ops/yolact_rules.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 128;
constexpr int kMasks = 8;
/// Coefficients of a mask that are in shared memory at a time.
constexpr int kDepth = 64;

struct Problem {
  const void* coefficients;
  DType coefficient_type;
  const Box* boxes;
  RowCounts counts;
  int64_t height, width, depth;
  float padding;
};

/// The cells inside a box.
struct Window {
  int32_t left, right, top, bottom;
};

__device__ __forceinline__ Window window_of(const Problem& p, const Box& box) {
  int64_t left, right, top, bottom;
  pixels_within(sanitize(box.x1, box.x2, p.width, p.padding), p.width, left, right);
  pixels_within(sanitize(box.y1, box.y2, p.height, p.padding), p.height, top, bottom);
  return {static_cast<int32_t>(left), static_cast<int32_t>(right), static_cast<int32_t>(top),
          static_cast<int32_t>(bottom)};
}

__device__ __forceinline__ float load_coefficient(const Problem& p, int64_t i) {
  switch (p.coefficient_type) {
    case DType::f16:
      return to_float(static_cast<const f16*>(p.coefficients)[i]);
    case DType::bf16:
      return to_float(static_cast<const bf16*>(p.coefficients)[i]);
    default:
      return static_cast<const float*>(p.coefficients)[i];
  }
}

/// N prototypes a read. Grid: cells, groups of kMasks masks, images.
template <class T, int N>
__global__ void __launch_bounds__(kBlock)
    assemble_kernel(Problem p, const T* __restrict__ prototypes, T* __restrict__ output) {
  INSTASEG_SHARED(float, coefficients, kMasks* kDepth);
  INSTASEG_SHARED(Window, windows, kMasks);
  const int64_t image = blockIdx.z;
  const int64_t first = int64_t{blockIdx.y} * kMasks;
  const int64_t left = p.counts[image] - first;
  if (!(left > 0)) return;
  const int masks = static_cast<int>(left < kMasks ? left : kMasks);
  const int64_t first_mask = image * p.counts.capacity + first;
  const int64_t cells = p.height * p.width;
  const int64_t cell = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (threadIdx.x < kMasks) {
    // No window behind the last mask.
    windows[threadIdx.x] = static_cast<int>(threadIdx.x) < masks
                               ? window_of(p, load_box(p.boxes, first_mask + threadIdx.x))
                               : Window{0, 0, 0, 0};
  }
  __syncthreads();
  const auto y = static_cast<int32_t>(cell / p.width);
  const auto x = static_cast<int32_t>(cell - y * p.width);
  unsigned inside = 0;
  for (int m = 0; m < kMasks && cell < cells; ++m) {
    const Window w = windows[m];
    inside |= static_cast<unsigned>(y >= w.top && y < w.bottom && x >= w.left && x < w.right) << m;
  }

  float sum[kMasks] = {};
  const T* own = prototypes + (image * cells + cell) * p.depth;
  for (int64_t begin = 0; begin < p.depth; begin += kDepth) {
    const int size = static_cast<int>(p.depth - begin < kDepth ? p.depth - begin : kDepth);
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kMasks * size; i += kBlock) {
      const int mask = i / size;
      const int k = i - mask * size;
      coefficients[k * kMasks + mask] =
          mask < masks ? load_coefficient(p, (first_mask + mask) * p.depth + begin + k) : 0.0f;
    }
    __syncthreads();
    if (inside == 0) continue;
    for (int k = 0; k < size; k += N) {
      const Vec<T, N> values = load_vec<N>(own + begin + k);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float value = to_float(values[j]);
#pragma unroll
        for (int m = 0; m < kMasks; ++m) sum[m] = __fmaf_rn(value, coefficients[(k + j) * kMasks + m], sum[m]);
      }
    }
  }
  if (!(cell < cells)) return;
#pragma unroll
  for (int m = 0; m < kMasks; ++m) {
    if (m >= masks) break;
    const float value = inside >> m & 1 ? 1.0f / (1.0f + expf(-sum[m])) : 0.0f;
    output[(first_mask + m) * cells + cell] = from_float<T>(value);
  }
}

template <class T>
void run(const AssembleMasks& op, const KernelContext& context) {
  const Shape& shape = context.inputs[0].shape;
  const int64_t capacity = context.inputs[2].shape[1];
  const Problem p{.coefficients = context.inputs[1].data,
                  .coefficient_type = context.inputs[1].dtype,
                  .boxes = context.inputs[2].as<const Box>(),
                  .counts = RowCounts::of_groups(capacity, input_or_absent(context, 3)),
                  .height = shape[1],
                  .width = shape[2],
                  .depth = shape[3],
                  .padding = op.padding};
  const dim3 grid{blocks_for(p.height * p.width, kBlock), blocks_for(capacity, kMasks),
                  static_cast<unsigned>(shape[0])};
  constexpr int kVector = 16 / sizeof(T);
  launch(context, {.grid = grid, .block = kBlock},
         p.depth % kVector == 0 ? assemble_kernel<T, kVector> : assemble_kernel<T, 1>, p,
         context.inputs[0].as<const T>(), context.outputs[0].as<T>());
}

const KernelRegistration<AssembleMasks> simt_f32{
    {.variant = "simt", .device = DeviceKind::cuda, .dtype = DType::f32, .rank = 10, .run = run<float>}};
const KernelRegistration<AssembleMasks> simt_f16{
    {.variant = "simt", .device = DeviceKind::cuda, .dtype = DType::f16, .rank = 10, .run = run<f16>}};
const KernelRegistration<AssembleMasks> simt_bf16{
    {.variant = "simt", .device = DeviceKind::cuda, .dtype = DType::bf16, .rank = 10, .run = run<bf16>}};

}  // namespace
}  // namespace instaseg::cuda
