// linear, variants: those of conv2d, of which it is the case of images of one pixel (see conv2d.cu):
//   reference  one thread an output element
//   simt       IEEE f32 multiply-adds from shared memory, every type and device
//   mma        f16 and bf16 on tensor cores; mma-sm75: f16 within the shared memory of sm_75
//   tf32x3     f32 on tensor cores as three TF32 products, as accurate as f32
//   wgmma      mma by the warpgroup products of sm_90a; only where asked for, by name, until it has been run there
//   tf32       f32 on tensor cores with inputs rounded to TF32; only where asked for, by name
#include "ops/linear.h"

#include "cuda/conv_rows.h"

namespace instaseg::cuda {
namespace {

struct LinearForm {
  using Op = Linear;
  static constexpr int kScale = -1;
  static constexpr int kResidual = -1;

  static Shape nhwc(const Shape& shape) { return {shape[0], 1, 1, shape[1]}; }

  static Convolution convolution(const Linear&, const Shape& w) {
    return {.group_channels = w[1], .group_columns = w[0], .assumed_images = 128};
  }

  static float weight(const Convolution&, const TensorView& weight, int64_t, int64_t column, int64_t channel, int64_t,
                      int64_t) {
    return weight.f32()[column * weight.shape[1] + channel];
  }
};

struct ReferenceArguments {
  const void* input;    // [rows, depth]
  const float* weight;  // [columns, depth]
  void* output;
  Epilogue epilogue;
  CountedImages images;
  int64_t rows, columns, depth;
};

template <class T>
__global__ void __launch_bounds__(256) reference_kernel(const ReferenceArguments a) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t elements = a.rows * a.columns;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < elements; i += step) {
    const int64_t row = i / a.columns;
    const int64_t column = i - row * a.columns;
    if (!a.images.valid(static_cast<int>(row))) continue;
    const T* input = static_cast<const T*>(a.input) + row * a.depth;
    const float* weight = a.weight + column * a.depth;
    float sum[1] = {0.0f};
    for (int64_t k = 0; k < a.depth; ++k) sum[0] = __fmaf_rn(to_float(input[k]), weight[k], sum[0]);
    const EpilogueColumns<T, 1> epilogue(a.epilogue, static_cast<int>(column), 1);
    epilogue.store(static_cast<T*>(a.output), row * a.columns, sum, false);
  }
}

void reference(const Linear& op, const KernelContext& context) {
  const ConvolutionCall call = ConvRows<LinearForm>::call_of(op, context);
  const TensorView& weight = context.inputs[Linear::kWeight];
  const ReferenceArguments arguments{.input = call.input.data,
                                     .weight = weight.f32(),
                                     .output = call.output.data,
                                     .epilogue = call.epilogue,
                                     .images = CountedImages(call.counts, call.input.shape[0]),
                                     .rows = call.input.shape[0],
                                     .columns = weight.shape[0],
                                     .depth = weight.shape[1]};
  with_float_type(call.input.dtype, [&]<class T>() {
    launch(context, {.grid = dim3(blocks_for(call.output.elements(), 256)), .block = dim3(256)}, reference_kernel<T>,
           arguments);
  });
}

Kernel<Linear> reference_of(DType dtype) {
  return {.variant = "reference", .device = DeviceKind::cuda, .dtype = dtype, .rank = 0, .run = reference};
}

const ConvRegistrations<LinearForm> gemm_rows(reference_of);
#ifndef INSTASEG_CUDA_EMULATED
const WgmmaRegistrations<LinearForm> wgmma_rows;
#endif

}  // namespace
}  // namespace instaseg::cuda
