// relu, variants:
//   simt  a grid-stride loop, one element a thread: bound by memory
#include "ops/relu.h"

#include "cuda/launch.h"
#include "cuda/numeric.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;

// Written so that NaN passes through, and that slope 0 gives 0 for -infinity too.
__device__ __forceinline__ float activate(float x, float slope) {
  const float negative = slope == 0.0f ? 0.0f : x * slope;
  return x < 0.0f ? negative : x;
}

template <class T>
__global__ void relu_kernel(const T* __restrict__ input, T* __restrict__ output, int64_t count, float slope) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) {
    output[i] = from_float<T>(activate(to_float(input[i]), slope));
  }
}

template <class T>
void run(const Relu& op, const KernelContext& context) {
  const int64_t count = context.outputs[0].elements();
  launch(context, {.grid = blocks_for(count, kBlock), .block = kBlock}, relu_kernel<T>, context.inputs[0].as<const T>(),
         context.outputs[0].as<T>(), count, op.negative_slope);
}

const KernelRegistration<Relu> simt_f32{
    {.variant = "simt", .device = DeviceKind::cuda, .dtype = DType::f32, .rank = 10, .run = run<float>}};

}  // namespace
}  // namespace instaseg::cuda
