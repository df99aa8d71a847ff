// benchmarkFma, variants:
//   simt  8 elements a thread, whose chains are independent of each other: enough to hide the latency of an FMA
#include "ops/benchmark_fma.h"

#include "cuda/launch.h"
#include "cuda/rows.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int kChains = 8;

// Elements of a thread are gridDim * blockDim apart, so that accesses coalesce.
__global__ void fma_kernel(const float* x, float* y, int64_t count, int64_t length, float factor, float addend) {
  const int64_t threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  float value[kChains];
#pragma unroll
  for (int c = 0; c < kChains; ++c) {
    const int64_t i = first + c * threads;
    value[c] = i < count ? x[i] : 0.0f;
  }
  for (int64_t k = 0; k < length; ++k) {
#pragma unroll
    for (int c = 0; c < kChains; ++c) value[c] = __fmaf_rn(value[c], factor, addend);
  }
#pragma unroll
  for (int c = 0; c < kChains; ++c) {
    const int64_t i = first + c * threads;
    if (i < count) y[i] = value[c];
  }
}

void run(const BenchmarkFma& op, const KernelContext& context) {
  const int64_t count = context.outputs[0].elements();
  const int64_t threads = (count + kChains - 1) / kChains;
  launch(context, {.grid = blocks_for(threads, kBlock, (int64_t{1} << 31) - 1), .block = kBlock}, fma_kernel,
         context.inputs[0].f32(), context.outputs[0].as<float>(), count, op.length, op.factor, op.addend);
}

const KernelRegistrations<BenchmarkFma> simt({DType::f32}, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
