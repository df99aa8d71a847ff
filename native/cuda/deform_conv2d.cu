// deformConv2d, variants:
//   reference  one thread an output element, every sample anew for each output channel
//   simt       samples into shared memory, IEEE f32 multiply-adds; every type and device
//   mma        the same samples for f16 and bf16 tensor cores: sampled in f32 and rounded once to the type
//   tf32x3     f32 on tensor cores as three TF32 products, as accurate as f32
//   tf32       f32 on tensor cores with samples and weights rounded to TF32; only where asked for, by name
// All but the reference are the matrix product of conv2d with another source of rows (deform_gather.h), on tiles of 64
// pixels and 128 output channels: the widest that leave two blocks a multiprocessor, as each tile of columns samples
// anew. They need channels in whole chunks of 16 bytes, in each group and offset group; others take the reference.
#include "ops/deform_conv2d.h"

#include "cuda/conv_rows.h"
#include "cuda/convolution.h"
#include "cuda/deform_gather.h"
#include "cuda/gemm_mma.h"

namespace instaseg::cuda {
namespace {

using In = DeformConv2d::Input;
using Tile = TileShape<64, 128, 32, 32, 4, 2>;

// Sampling costs more than the product: 256 chunks of four corners a tile of k.
constexpr TileCost kTileCost{Tile::kTile, 360, 700, 2};

Convolution convolution(const DeformConv2d& op, const Shape& w) { return window_convolution(op, w); }

DeformOffsets offsets_of(const DeformConv2d& op, const Shape& input, const Shape& weight, const TensorView& offset,
                         const TensorView& mask) {
  const int64_t groups = op.offset_groups(weight, offset.shape);
  const int64_t taps = weight[2] * weight[3];
  DeformOffsets offsets{.offset = offset.f32(),
                        .mask = mask.f32(),
                        .offset_stride = static_cast<int>(offset.shape[3]),
                        .mask_stride = static_cast<int>(groups * taps),
                        .taps = static_cast<int>(taps),
                        .group_channels = static_cast<int>(input[3] / groups),
                        .sigmoid = op.sigmoid_mask};
  if (op.packed_mask) {
    offsets.mask = offset.f32() + 2 * groups * taps;
    offsets.mask_stride = offsets.offset_stride;
  }
  return offsets;
}

Epilogue epilogue_of(const DeformConv2d& op, const KernelContext& context) {
  return {.scale = context.inputs[In::kScale].f32(),
          .bias = context.inputs[In::kBias].f32(),
          .residual = context.inputs[In::kResidual].data,
          .activation = op.activation};
}

template <DType D>
bool supports(const DeformConv2d& op, const Specs& in) {
  const Shape& x = in[In::kInput].shape;
  const Shape& w = in[In::kWeight].shape;
  const int64_t offset_group = x[3] / op.offset_groups(w, in[In::kOffset].shape);
  return aligned_channels(D, x[3], w[1]) && aligned_channels(D, x[3], offset_group) &&
         in[In::kOffset].shape[3] < kIndexLimit / 2 && fits_indices(convolution(op, w), x, op.infer(in)[0].shape);
}

template <DType D, GemmMath M>
GemmPlan plan(const Convolution& conv, const Shape& y) {
  TileCost cost = kTileCost;
  if (M == GemmMath::simt) cost.alone = cost.busy = 1500;
  return choose_plan({&cost, 1}, extent_of(conv, D, y, 0));
}

template <DType D, GemmMath M>
size_t workspace(const DeformConv2d& op, const Specs& in, const Specs& out, int) {
  const Shape& y = out[0].shape;
  if (y.elements() == 0) return 0;
  const int splits = plan<D, M>(convolution(op, in[In::kWeight].shape), y).splits;
  return splits == 1 ? 0 : sizeof(float) * static_cast<size_t>(splits * y.elements());
}

template <DType D>
std::string pack_key(const DeformConv2d& op, const Specs&) {
  return std::string(instaseg::name_of(D)) + ", groups " + std::to_string(op.groups);
}

template <DType D, GemmMath M>
std::shared_ptr<const void> pack(const DeformConv2d& op, const TensorView& weight, const PackContext& context) {
  const Convolution conv = convolution(op, weight.shape);
  const auto value = [&](int64_t group, int64_t column, int64_t channel, int64_t ky, int64_t kx) {
    return window_weight(conv, weight, group, column, channel, ky, kx);
  };
  return with_float_type(
      D, [&]<class T>() { return upload_packed(context, pack_gemm_weights<T, M == GemmMath::tf32>(conv, value)); });
}

template <GemmMath M, class T>
struct MathOf {
  using Type = SimtMath<T>;
};
template <class T>
struct MathOf<GemmMath::mma, T> {
  using Type = MmaMath<T>;
};
template <>
struct MathOf<GemmMath::tf32x3, float> {
  using Type = Tf32x3Math;
};
template <>
struct MathOf<GemmMath::tf32, float> {
  using Type = Tf32Math;
};

template <class T, DType D, GemmMath M>
void run(const DeformConv2d& op, const KernelContext& context) {
  const ConvolutionCall call{.input = context.inputs[In::kInput],
                             .output = context.outputs[0],
                             .epilogue = epilogue_of(op, context),
                             .counts = {}};
  const Shape& y = call.output.shape;
  if (y.elements() == 0) return;
  const Shape& w = context.inputs[In::kWeight].shape;
  const Convolution conv = convolution(op, w);
  const DeformOffsets offsets =
      offsets_of(op, call.input.shape, w, context.inputs[In::kOffset], context.inputs[In::kMask]);
  const auto no_offset = [](const PhaseAxis&, const PhaseAxis&) { return int64_t{0}; };
  for_each_problem(conv, call, context.packed, no_offset, [&](GemmProblem& problem) {
    problem.splits = plan<D, M>(conv, y).splits;
    problem.partial = reinterpret_cast<float*>(context.workspace);
    launch_gemm<typename MathOf<M, T>::Type, Tile, DeformGather<T, Tile::kRows, Tile::kThreads>>(problem, offsets,
                                                                                                 context);
    reduce_splits(D, problem, context);
  });
}

struct ReferenceArguments {
  const void* input;    // [N, height, width, channels]
  const float* weight;  // [output_channels, group_channels, kernel_height, kernel_width]
  void* output;
  Epilogue epilogue;
  DeformOffsets offsets;
  int64_t height, width, channels, group_channels, kernel_height, kernel_width;
  int64_t output_height, output_width, output_channels, group_columns;
  int64_t elements;
  Pair stride, padding, dilation;
};

/// One channel of an image, at `y` and `x`; see deform_gather.h for the rules at the border.
template <class T>
__device__ __forceinline__ float sample(const ReferenceArguments& a, const T* plane, float y, float x, float mask) {
  const bool near = y > -1.0f && x > -1.0f && y < static_cast<float>(a.height) && x < static_cast<float>(a.width);
  if (!near) return 0.0f;
  const float below = y - floorf(y);
  const float right = x - floorf(x);
  float value = 0.0f;
  for (int i = 0; i < 4; ++i) {
    const int64_t corner_y = static_cast<int64_t>(floorf(y)) + i / 2;
    const int64_t corner_x = static_cast<int64_t>(floorf(x)) + i % 2;
    if (corner_y < 0 || corner_y >= a.height || corner_x < 0 || corner_x >= a.width) continue;
    const float weight = (i / 2 ? below : 1.0f - below) * (i % 2 ? right : 1.0f - right) * mask;
    value = __fmaf_rn(weight, to_float(plane[(corner_y * a.width + corner_x) * a.channels]), value);
  }
  return value;
}

template <class T>
__global__ void __launch_bounds__(256) reference_kernel(const ReferenceArguments a) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t taps = a.kernel_height * a.kernel_width;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < a.elements; i += step) {
    const int64_t pixel = i / a.output_channels;
    const int64_t output_channel = i - pixel * a.output_channels;
    const int64_t ox = pixel % a.output_width;
    const int64_t oy = pixel / a.output_width % a.output_height;
    const int64_t n = pixel / (a.output_width * a.output_height);
    const T* image = static_cast<const T*>(a.input) + n * a.height * a.width * a.channels;
    float sum[1] = {0.0f};
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t y = oy * a.stride.y - a.padding.y + tap / a.kernel_width * a.dilation.y;
      const int64_t x = ox * a.stride.x - a.padding.x + tap % a.kernel_width * a.dilation.x;
      for (int64_t c = 0; c < a.group_channels; ++c) {
        const int64_t channel = output_channel / a.group_columns * a.group_channels + c;
        const int64_t at = channel / a.offsets.group_channels * taps + tap;
        const float* offset = a.offsets.offset + pixel * a.offsets.offset_stride + 2 * at;
        float mask = a.offsets.mask ? a.offsets.mask[pixel * a.offsets.mask_stride + at] : 1.0f;
        if (a.offsets.sigmoid) mask = activate(Activation::sigmoid, mask);
        const float value =
            sample(a, image + channel, static_cast<float>(y) + offset[0], static_cast<float>(x) + offset[1], mask);
        sum[0] = __fmaf_rn(value, a.weight[(output_channel * a.group_channels + c) * taps + tap], sum[0]);
      }
    }
    const EpilogueColumns<T, 1> epilogue(a.epilogue, static_cast<int>(output_channel), 1);
    epilogue.store(static_cast<T*>(a.output), pixel * a.output_channels, sum, false);
  }
}

void reference(const DeformConv2d& op, const KernelContext& context) {
  const TensorView& input = context.inputs[In::kInput];
  const TensorView& weight = context.inputs[In::kWeight];
  const Shape& x = input.shape;
  const Shape& w = weight.shape;
  const Shape& y = context.outputs[0].shape;
  const ReferenceArguments arguments{
      .input = input.data,
      .weight = weight.f32(),
      .output = context.outputs[0].data,
      .epilogue = epilogue_of(op, context),
      .offsets = offsets_of(op, x, w, context.inputs[In::kOffset], context.inputs[In::kMask]),
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
  with_float_type(input.dtype, [&]<class T>() {
    launch(context, {.grid = dim3(blocks_for(arguments.elements, 256)), .block = dim3(256)}, reference_kernel<T>,
           arguments);
  });
}

Kernel<DeformConv2d> reference_row(DType dtype) {
  return {.variant = "reference", .device = DeviceKind::cuda, .dtype = dtype, .rank = 0, .run = reference};
}

template <class T, DType D, GemmMath M>
Kernel<DeformConv2d> gemm_row(int rank, int compute_capability) {
  return {.variant = name_of(M),
          .device = DeviceKind::cuda,
          .dtype = D,
          .compute_capability = compute_capability,
          .rank = rank,
          .supports = supports<D>,
          .workspace = workspace<D, M>,
          .packed_input = In::kWeight,
          .pack_key = pack_key<D>,
          .pack = pack<D, M>,
          .run = run<T, D, M>};
}

using Registration = KernelRegistration<DeformConv2d>;
const Registration reference_f32{reference_row(DType::f32)};
const Registration reference_f16{reference_row(DType::f16)};
const Registration reference_bf16{reference_row(DType::bf16)};
const Registration tf32{gemm_row<float, DType::f32, GemmMath::tf32>(5, 80)};
const Registration simt_f32{gemm_row<float, DType::f32, GemmMath::simt>(10, 0)};
const Registration simt_f16{gemm_row<f16, DType::f16, GemmMath::simt>(10, 0)};
const Registration simt_bf16{gemm_row<bf16, DType::bf16, GemmMath::simt>(10, 0)};
const Registration tf32x3{gemm_row<float, DType::f32, GemmMath::tf32x3>(20, 80)};
const Registration mma_f16{gemm_row<f16, DType::f16, GemmMath::mma>(20, 75)};
const Registration mma_bf16{gemm_row<bf16, DType::bf16, GemmMath::mma>(20, 80)};

}  // namespace
}  // namespace instaseg::cuda
