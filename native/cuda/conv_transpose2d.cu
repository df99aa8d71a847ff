// convTranspose2d, variants: those of conv2d (see conv2d.cu), one product a phase:
//   reference  one thread an output element, gathering
//   simt       IEEE f32 multiply-adds from shared memory, every type and device, narrow groups
//   mma        f16 and bf16 on tensor cores; mma-sm75: f16 within the shared memory of sm_75
//   tf32x3     f32 on tensor cores as three TF32 products, as accurate as f32
//   tf32       f32 on tensor cores with inputs rounded to TF32; only where asked for, by name
//   depthwise  one input and one output channel a group, directly
// The output pixels of one phase (y mod stride, x mod stride) share their taps, so they are a small convolution of
// stride 1 whose results are stored with the stride: a pixel shuffle in the epilogue, and no product with an inserted
// zero. All phases are one launch. Kernel 2x2 with stride 2, the mask heads' upsampling, is four phases of one tap.
#include "ops/conv_transpose2d.h"

#include <numeric>

#include "cuda/conv_rows.h"

namespace instaseg::cuda {
namespace {

struct ConvTranspose2dForm {
  using Op = ConvTranspose2d;
  static constexpr int kScale = -1;
  static constexpr int kResidual = -1;

  static Shape nhwc(const Shape& shape) { return shape; }

  // Input pixel i adds to output pixel i * stride - padding + k * dilation. For the output pixels phase + c * stride
  // the kernel positions are those with phase + padding - k * dilation divisible by the stride, an arithmetic sequence.
  static std::vector<PhaseAxis> axis(int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    std::vector<PhaseAxis> phases;
    const int64_t divisor = std::gcd(stride, dilation);
    const int64_t period = stride / divisor;
    for (int64_t phase = 0; phase < stride; ++phase) {
      PhaseAxis axis{.taps = {.count = 0}, .kernel_step = period, .origin = phase};
      int64_t first = 0;
      while (first < std::min(period, kernel) && (phase + padding - first * dilation) % stride != 0) ++first;
      if (first < std::min(period, kernel)) {
        axis.kernel_first = first;
        axis.taps = {.count = static_cast<int>((kernel - 1 - first) / period + 1),
                     .first = static_cast<int>((phase + padding - first * dilation) / stride),
                     .step = static_cast<int>(-dilation / divisor)};
      }
      phases.push_back(axis);
    }
    return phases;
  }

  static Convolution convolution(const ConvTranspose2d& op, const Shape& w) {
    return {.groups = op.groups,
            .group_channels = w[0] / op.groups,
            .group_columns = w[1],
            .step = op.stride,
            .y = axis(w[2], op.stride.y, op.padding.y, op.dilation.y),
            .x = axis(w[3], op.stride.x, op.padding.x, op.dilation.x)};
  }

  static float weight(const Convolution& conv, const TensorView& weight, int64_t group, int64_t column, int64_t channel,
                      int64_t ky, int64_t kx) {
    const Shape& w = weight.shape;
    return weight.f32()[(((group * conv.group_channels + channel) * w[1] + column) * w[2] + ky) * w[3] + kx];
  }
};

struct ReferenceArguments {
  const void* input;    // [N, height, width, channels]
  const float* weight;  // [channels, group_columns, kernel_height, kernel_width]
  void* output;
  Epilogue epilogue;
  CountedImages images;
  int64_t height, width, channels, group_channels, kernel_height, kernel_width;
  int64_t output_height, output_width, output_channels, group_columns;
  int64_t elements;
  Pair stride, padding, dilation;
};

// The input pixel that a kernel position reads for an output pixel, or -1.
__device__ __forceinline__ int64_t source(int64_t output, int64_t k, int64_t stride, int64_t padding, int64_t dilation,
                                          int64_t size) {
  const int64_t from = output + padding - k * dilation;
  return from >= 0 && from % stride == 0 && from / stride < size ? from / stride : -1;
}

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
    const int64_t first = channel / a.group_columns * a.group_channels;
    const T* image = static_cast<const T*>(a.input) + n * a.height * a.width * a.channels;
    float sum[1] = {0.0f};
    for (int64_t ky = 0; ky < a.kernel_height; ++ky) {
      const int64_t y = source(oy, ky, a.stride.y, a.padding.y, a.dilation.y, a.height);
      if (y < 0) continue;
      for (int64_t kx = 0; kx < a.kernel_width; ++kx) {
        const int64_t x = source(ox, kx, a.stride.x, a.padding.x, a.dilation.x, a.width);
        if (x < 0) continue;
        for (int64_t c = first; c < first + a.group_channels; ++c) {
          const int64_t at =
              ((c * a.group_columns + channel % a.group_columns) * a.kernel_height + ky) * a.kernel_width + kx;
          sum[0] = __fmaf_rn(to_float(image[(y * a.width + x) * a.channels + c]), a.weight[at], sum[0]);
        }
      }
    }
    const EpilogueColumns<T, 1> epilogue(a.epilogue, static_cast<int>(channel), 1);
    epilogue.store(static_cast<T*>(a.output), pixel * a.output_channels, sum, false);
  }
}

void reference(const ConvTranspose2d& op, const KernelContext& context) {
  const ConvolutionCall call = ConvRows<ConvTranspose2dForm>::call_of(op, context);
  const TensorView& weight = context.inputs[ConvTranspose2d::kWeight];
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
                                     .group_channels = w[0] / op.groups,
                                     .kernel_height = w[2],
                                     .kernel_width = w[3],
                                     .output_height = y[1],
                                     .output_width = y[2],
                                     .output_channels = y[3],
                                     .group_columns = w[1],
                                     .elements = y.elements(),
                                     .stride = op.stride,
                                     .padding = op.padding,
                                     .dilation = op.dilation};
  with_float_type(call.input.dtype, [&]<class T>() {
    launch(context, {.grid = dim3(blocks_for(arguments.elements, 256)), .block = dim3(256)}, reference_kernel<T>,
           arguments);
  });
}

Kernel<ConvTranspose2d> reference_of(DType dtype) {
  return {.variant = "reference", .device = DeviceKind::cuda, .dtype = dtype, .rank = 0, .run = reference};
}

const ConvRegistrations<ConvTranspose2dForm> gemm_rows(reference_of);
const DepthwiseRegistrations<ConvTranspose2dForm> depthwise_rows;

}  // namespace
}  // namespace instaseg::cuda
