// conv2d, variants:
//   reference  one thread an output element, plain loops over the weights as they are: the oracle on the device
//   simt       implicit GEMM, IEEE f32 multiply-adds from shared memory: every device, every type, narrow groups
//   mma        f16 and bf16 on tensor cores (mma.sync), f32 accumulation; from sm_80
//   mma-sm75   the same for f16 within the shared memory of sm_75
//   tf32x3     f32 on tensor cores as three TF32 products, as accurate as f32; from sm_80
//   wgmma      mma by the warpgroup products of sm_90a; only where asked for, by name, until it has been run there
//   tf32       f32 on tensor cores with inputs rounded to TF32; only where asked for, by name
//   depthwise  one input and one output channel a group: channels of a pixel by vectors, no matrix product
// The GEMM and its tiles are in gemm_mma.h and gemm_instances.h, tile and split of k are chosen in gemm.cu. Scale,
// bias, residual and activation are part of the product's epilogue. Narrow groups (fewer than 8 output channels) leave
// tensor cores idle and go to simt.
#include "ops/conv2d.h"

#include "cuda/conv_rows.h"

namespace instaseg::cuda {
namespace {

struct Conv2dForm {
  using Op = Conv2d;
  static constexpr int kScale = Conv2d::kScale;
  static constexpr int kResidual = Conv2d::kResidual;

  static Shape nhwc(const Shape& shape) { return shape; }

  static Convolution convolution(const Conv2d& op, const Shape& w) { return window_convolution(op, w); }
  static float weight(const Convolution& conv, const TensorView& weight, int64_t group, int64_t column, int64_t channel,
                      int64_t ky, int64_t kx) {
    return window_weight(conv, weight, group, column, channel, ky, kx);
  }
};

struct ReferenceArguments {
  const void* input;    // [N, height, width, channels]
  const float* weight;  // [output_channels, group_channels, kernel_height, kernel_width]
  void* output;
  Epilogue epilogue;
  CountedImages images;
  int64_t height, width, channels, group_channels, kernel_height, kernel_width;
  int64_t output_height, output_width, output_channels, group_columns;
  int64_t elements;
  Pair stride, padding, dilation;
};

template <class T>
__global__ void __launch_bounds__(256) reference_kernel(const ReferenceArguments a) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < a.elements; i += step) {
    const int64_t pixel = i / a.output_channels;
    const int64_t channel = i - pixel * a.output_channels;
    const int64_t ox = pixel % a.output_width;
    const int64_t oy = pixel / a.output_width % a.output_height;
    const int64_t n = pixel / (a.output_width * a.output_height);
    if (!a.images.valid(static_cast<int>(n))) continue;
    const T* image = static_cast<const T*>(a.input) + n * a.height * a.width * a.channels +
                     channel / a.group_columns * a.group_channels;
    float sum[1] = {0.0f};
    for (int64_t ky = 0; ky < a.kernel_height; ++ky) {
      const int64_t y = oy * a.stride.y - a.padding.y + ky * a.dilation.y;
      if (y < 0 || y >= a.height) continue;
      for (int64_t kx = 0; kx < a.kernel_width; ++kx) {
        const int64_t x = ox * a.stride.x - a.padding.x + kx * a.dilation.x;
        if (x < 0 || x >= a.width) continue;
        for (int64_t c = 0; c < a.group_channels; ++c) {
          sum[0] = __fmaf_rn(to_float(image[(y * a.width + x) * a.channels + c]),
                             a.weight[((channel * a.group_channels + c) * a.kernel_height + ky) * a.kernel_width + kx],
                             sum[0]);
        }
      }
    }
    const EpilogueColumns<T, 1> epilogue(a.epilogue, static_cast<int>(channel), 1);
    epilogue.store(static_cast<T*>(a.output), pixel * a.output_channels, sum, false);
  }
}

void reference(const Conv2d& op, const KernelContext& context) {
  const ConvolutionCall call = ConvRows<Conv2dForm>::call_of(op, context);
  const TensorView& weight = context.inputs[Conv2d::kWeight];
  const Shape& x = call.input.shape;
  const Shape& w = weight.shape;
  const Shape& y = call.output.shape;
  const ReferenceArguments arguments{.input = call.input.data,
                                     .weight = weight.f32(),
                                     .output = call.output.data,
                                     .epilogue = call.epilogue,
                                     .images = CountedImages(call.counts, y[0]),
                                     .height = x[1],
                                     .width = x[2],
                                     .channels = x[3],
                                     .group_channels = w[1],
                                     .kernel_height = w[2],
                                     .kernel_width = w[3],
                                     .output_height = y[1],
                                     .output_width = y[2],
                                     .output_channels = y[3],
                                     .group_columns = w[0] / op.groups,
                                     .elements = y.elements(),
                                     .stride = op.stride,
                                     .padding = op.padding,
                                     .dilation = op.dilation};
  with_float_type(call.input.dtype, [&]<class T>() {
    launch(context, {.grid = dim3(blocks_for(arguments.elements, 256)), .block = dim3(256)}, reference_kernel<T>,
           arguments);
  });
}

Kernel<Conv2d> reference_of(DType dtype) {
  return {.variant = "reference", .device = DeviceKind::cuda, .dtype = dtype, .rank = 0, .run = reference};
}

const ConvRegistrations<Conv2dForm> gemm_rows(reference_of);
#ifndef INSTASEG_CUDA_EMULATED
const WgmmaRegistrations<Conv2dForm> wgmma_rows;
#endif
const DepthwiseRegistrations<Conv2dForm> depthwise_rows;

}  // namespace
}  // namespace instaseg::cuda
