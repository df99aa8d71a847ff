// conv2d, variants:
//   reference  seven scalar loops
//   baseline   implicit GEMM over packed weights, 4 lanes; depthwise convolutions over channels
//   avx2       the same with 8 lanes and fused multiply-adds
//   avx512     16 lanes
//   winograd   3x3 of stride 1 with fewer products, see conv2d_winograd.cpp
// A convolution of fewer than 16 input channels takes whole kernel rows as one tap (KW * Cin contiguous values), so
// that the inner loop stays long; only pixels at the left and right border are copied.
#include "ops/conv2d.h"

#include "cpu/gemm_taps.h"

namespace instaseg::cpu {
namespace {

using In = Conv2d::Input;

void reference(const Conv2d& op, const KernelContext& context) {
  const Shape& x = context.inputs[In::kInput].shape;
  const Shape& w = context.inputs[In::kWeight].shape;
  const Shape& y = context.outputs[0].shape;
  const float* input = context.inputs[In::kInput].f32();
  const float* weight = context.inputs[In::kWeight].f32();
  const float* bias = context.inputs[In::kBias].f32();
  const float* scale = context.inputs[In::kScale].f32();
  const float* residual = context.inputs[In::kResidual].f32();
  float* output = context.outputs[0].as<float>();
  const ValidRows images(x[0], context.inputs[In::kCounts]);
  for (int64_t i = 0; i < images.total(); ++i) {
    const int64_t n = images.row(i);
    for (int64_t oy = 0; oy < y[1]; ++oy) {
      for (int64_t ox = 0; ox < y[2]; ++ox) {
        for (int64_t o = 0; o < y[3]; ++o) {
          const int64_t first = o / (y[3] / op.groups) * w[1];
          float sum = 0.0f;
          for (int64_t ky = 0; ky < w[2]; ++ky) {
            for (int64_t kx = 0; kx < w[3]; ++kx) {
              const int64_t iy = oy * op.stride.y - op.padding.y + ky * op.dilation.y;
              const int64_t ix = ox * op.stride.x - op.padding.x + kx * op.dilation.x;
              if (iy < 0 || iy >= x[1] || ix < 0 || ix >= x[2]) continue;
              for (int64_t c = 0; c < w[1]; ++c) {
                sum += input[((n * x[1] + iy) * x[2] + ix) * x[3] + first + c] *
                       weight[((o * w[1] + c) * w[2] + ky) * w[3] + kx];
              }
            }
          }
          const int64_t position = ((n * y[1] + oy) * y[2] + ox) * y[3] + o;
          float value = sum * (scale ? scale[o] : 1.0f) + (bias ? bias[o] : 0.0f);
          if (residual) value += residual[position];
          output[position] = activate_reference(op.activation, value);
        }
      }
    }
  }
}

bool depthwise(const Conv2d& op, const Shape& weight) {
  return op.groups > 1 && weight[1] == 1 && weight[0] == op.groups;
}

bool whole_kernel_rows(const Conv2d& op, const Shape& weight) {
  return op.groups == 1 && op.dilation.x == 1 && weight[1] < 16 && weight[3] > 1;
}

template <const GemmKernels& Kernels>
std::string pack_key(const Conv2d& op, const Specs& in) {
  if (depthwise(op, in[In::kWeight].shape)) return "conv2d depthwise";
  return "conv2d panels of " + std::to_string(Kernels.panel_columns) + ", groups " + std::to_string(op.groups);
}

template <const GemmKernels& Kernels>
std::shared_ptr<const void> pack(const Conv2d& op, const TensorView& weight, const PackContext& context) {
  const Shape& w = weight.shape;
  const int64_t taps = w[2] * w[3];
  auto packed = std::make_shared<PackedPanels>();
  if (depthwise(op, w)) {  // [tap][channel]
    packed->memory = context.host->allocate(sizeof(float) * static_cast<size_t>(w.elements()));
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t c = 0; c < w[0]; ++c) packed->data()[tap * w[0] + c] = weight.f32()[c * taps + tap];
    }
    return packed;
  }
  const int64_t columns = w[0] / op.groups;
  *packed = pack_panels(Kernels.panel_columns, op.groups, columns, taps * w[1], *context.host,
                        [&](int64_t group, int64_t column, int64_t k) {
                          const int64_t tap = k / w[1];
                          const int64_t c = k % w[1];
                          return weight.f32()[((group * columns + column) * w[1] + c) * taps + tap];
                        });
  return packed;
}

size_t workspace(const Conv2d& op, const Specs& in, const Specs&, int threads) {
  const Shape& w = in[In::kWeight].shape;
  if (depthwise(op, w)) return depthwise_workspace(w[2] * w[3], threads);
  const int64_t tap_pixels = whole_kernel_rows(op, w) ? w[3] : 1;
  return tap_workspace(w[2] * w[3] / tap_pixels, tap_pixels, tap_pixels * w[1], op.groups, threads);
}

template <const GemmKernels& Kernels>
void run(const Conv2d& op, const KernelContext& context) {
  const Shape& w = context.inputs[In::kWeight].shape;
  const Shape& y = context.outputs[0].shape;
  if (y.elements() == 0) return;
  const int64_t tap_pixels = whole_kernel_rows(op, w) ? w[3] : 1;
  TapPhase phase;
  phase.size = {y[1], y[2]};
  phase.panels = static_cast<const PackedPanels*>(context.packed)->data();
  for (int64_t ky = 0; ky < w[2]; ++ky) {
    for (int64_t kx = 0; kx < w[3]; kx += tap_pixels) {
      phase.taps.push_back({ky * op.dilation.y - op.padding.y, kx * op.dilation.x - op.padding.x});
    }
  }
  const TapConvolution taps{.input = context.inputs[In::kInput].f32(),
                            .output = context.outputs[0].as<float>(),
                            .input_shape = context.inputs[In::kInput].shape,
                            .output_shape = y,
                            .stride = op.stride,
                            .groups = op.groups,
                            .tap_pixels = tap_pixels,
                            .phases = {&phase, 1},
                            .scale = context.inputs[In::kScale].f32(),
                            .bias = context.inputs[In::kBias].f32(),
                            .residual = context.inputs[In::kResidual].f32(),
                            .activation = op.activation,
                            .images = ValidRows(y[0], context.inputs[In::kCounts])};
  if (depthwise(op, w)) {
    run_depthwise(taps, Kernels, context);
  } else {
    run_taps(taps, Kernels, context);
  }
}

const KernelRegistration<Conv2d> reference_row{{.run = reference}};
const KernelRegistration<Conv2d> baseline_row{{.variant = "baseline",
                                               .rank = 10,
                                               .workspace = workspace,
                                               .packed_input = In::kWeight,
                                               .pack_key = pack_key<kGemmBaseline>,
                                               .pack = pack<kGemmBaseline>,
                                               .run = run<kGemmBaseline>}};
#ifdef INSTASEG_X86
const KernelRegistration<Conv2d> avx2_row{{.variant = "avx2",
                                           .isa = Isa::avx2,
                                           .rank = 20,
                                           .workspace = workspace,
                                           .packed_input = In::kWeight,
                                           .pack_key = pack_key<kGemmAvx2>,
                                           .pack = pack<kGemmAvx2>,
                                           .run = run<kGemmAvx2>}};
const KernelRegistration<Conv2d> avx512_row{{.variant = "avx512",
                                             .isa = Isa::avx512,
                                             .rank = 30,
                                             .workspace = workspace,
                                             .packed_input = In::kWeight,
                                             .pack_key = pack_key<kGemmAvx512>,
                                             .pack = pack<kGemmAvx512>,
                                             .run = run<kGemmAvx512>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
