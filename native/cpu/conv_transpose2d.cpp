// convTranspose2d, variants:
//   reference  seven scalar loops, gathering
//   baseline   one implicit GEMM for each position of the stride (phase), 4 lanes; depthwise over channels
//   avx2       the same with 8 lanes and fused multiply-adds
//   avx512     16 lanes
// The output pixels of one phase (y mod stride, x mod stride) share their taps, so they are a small convolution of
// stride 1 whose results are scattered with the stride: no product with an inserted zero is ever computed. Kernel =
// stride without padding is the case of one tap a phase, a plain product with a pixel-shuffle epilogue.
#include "ops/conv_transpose2d.h"

#include <map>

#include "cpu/gemm_taps.h"

namespace instaseg::cpu {
namespace {

using In = ConvTranspose2d::Input;

void reference(const ConvTranspose2d& op, const KernelContext& context) {
  const Shape& x = context.inputs[In::kInput].shape;
  const Shape& w = context.inputs[In::kWeight].shape;
  const Shape& y = context.outputs[0].shape;
  const float* input = context.inputs[In::kInput].f32();
  const float* weight = context.inputs[In::kWeight].f32();
  const float* bias = context.inputs[In::kBias].f32();
  const int64_t inputs = x[3] / op.groups;  // channels a group
  const ValidRows images(x[0], context.inputs[In::kCounts]);
  for (int64_t i = 0; i < images.total(); ++i) {
    const int64_t n = images.row(i);
    for (int64_t oy = 0; oy < y[1]; ++oy) {
      for (int64_t ox = 0; ox < y[2]; ++ox) {
        for (int64_t o = 0; o < y[3]; ++o) {
          const int64_t group = o / w[1];
          float sum = 0.0f;
          for (int64_t ky = 0; ky < w[2]; ++ky) {
            for (int64_t kx = 0; kx < w[3]; ++kx) {
              // Input pixel (iy, ix) adds to output pixel i * stride - padding + k * dilation.
              const int64_t from_y = oy + op.padding.y - ky * op.dilation.y;
              const int64_t from_x = ox + op.padding.x - kx * op.dilation.x;
              if (from_y < 0 || from_y % op.stride.y != 0 || from_y / op.stride.y >= x[1]) continue;
              if (from_x < 0 || from_x % op.stride.x != 0 || from_x / op.stride.x >= x[2]) continue;
              const float* pixel = input + ((n * x[1] + from_y / op.stride.y) * x[2] + from_x / op.stride.x) * x[3];
              for (int64_t c = group * inputs; c < (group + 1) * inputs; ++c) {
                sum += pixel[c] * weight[((c * w[1] + o % w[1]) * w[2] + ky) * w[3] + kx];
              }
            }
          }
          context.outputs[0].as<float>()[((n * y[1] + oy) * y[2] + ox) * y[3] + o] =
              activate_reference(op.activation, sum + (bias ? bias[o] : 0.0f));
        }
      }
    }
  }
}

/// Taps of an axis by phase: the kernel position and, for the phase's first output pixel, the input pixel.
struct AxisTap {
  int64_t kernel;
  int64_t input;
};
using AxisPhases = std::map<int64_t, std::vector<AxisTap>>;

AxisPhases axis_phases(int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  AxisPhases phases;
  for (int64_t k = 0; k < kernel; ++k) {
    // phase + padding - k * dilation is a multiple of the stride.
    const int64_t shift = k * dilation - padding;
    const int64_t phase = (shift % stride + stride) % stride;
    phases[phase].push_back({k, (phase - shift) / stride});
  }
  return phases;
}

AxisPhases phases_y(const ConvTranspose2d& op, const Shape& w) {
  return axis_phases(w[2], op.stride.y, op.padding.y, op.dilation.y);
}
AxisPhases phases_x(const ConvTranspose2d& op, const Shape& w) {
  return axis_phases(w[3], op.stride.x, op.padding.x, op.dilation.x);
}

bool depthwise(const ConvTranspose2d& op, const Shape& weight) {
  return op.groups > 1 && weight[1] == 1 && weight[0] == op.groups;
}

template <const GemmKernels& Kernels>
std::string pack_key(const ConvTranspose2d& op, const Specs& in) {
  std::ostringstream key;
  key << "convTranspose2d ";
  if (depthwise(op, in[In::kWeight].shape)) {
    key << "depthwise";
  } else {
    key << "panels of " << Kernels.panel_columns << ", groups " << op.groups;
  }
  key << ", stride " << op.stride.y << ' ' << op.stride.x << ", padding " << op.padding.y << ' ' << op.padding.x
      << ", dilation " << op.dilation.y << ' ' << op.dilation.x;
  return key.str();
}

/// Weights by phase (y, x); phases without taps have none.
using PackedPhases = std::map<std::pair<int64_t, int64_t>, PackedPanels>;

template <const GemmKernels& Kernels>
std::shared_ptr<const void> pack(const ConvTranspose2d& op, const TensorView& weight, const PackContext& context) {
  const Shape& w = weight.shape;
  const int64_t inputs = w[0] / op.groups;
  auto packed = std::make_shared<PackedPhases>();
  for (const auto& [y, taps_y] : phases_y(op, w)) {
    for (const auto& [x, taps_x] : phases_x(op, w)) {
      const auto width = static_cast<int64_t>(taps_x.size());
      const int64_t taps = static_cast<int64_t>(taps_y.size()) * width;
      const auto value = [&, &ys = taps_y, &xs = taps_x](int64_t input, int64_t output, int64_t tap) {
        return weight.f32()[((input * w[1] + output) * w[2] + ys[tap / width].kernel) * w[3] + xs[tap % width].kernel];
      };
      PackedPanels& panels = (*packed)[{y, x}];
      if (depthwise(op, w)) {  // [tap][channel]
        panels.memory = context.host->allocate(sizeof(float) * static_cast<size_t>(taps * w[0]));
        for (int64_t i = 0; i < taps * w[0]; ++i) panels.data()[i] = value(i % w[0], 0, i / w[0]);
      } else {
        panels = pack_panels(Kernels.panel_columns, op.groups, w[1], taps * inputs, *context.host,
                             [&](int64_t group, int64_t column, int64_t k) {
                               return value(group * inputs + k % inputs, column, k / inputs);
                             });
      }
    }
  }
  return packed;
}

size_t workspace(const ConvTranspose2d& op, const Specs& in, const Specs&, int threads) {
  const Shape& w = in[In::kWeight].shape;
  if (depthwise(op, w)) return depthwise_workspace(w[2] * w[3], threads);
  return tap_workspace(w[2] * w[3], 1, w[0] / op.groups, op.groups, threads);
}

template <const GemmKernels& Kernels>
void run(const ConvTranspose2d& op, const KernelContext& context) {
  const Shape& x = context.inputs[In::kInput].shape;
  const Shape& w = context.inputs[In::kWeight].shape;
  const Shape& y = context.outputs[0].shape;
  if (y.elements() == 0) return;
  const PackedPhases& packed = *static_cast<const PackedPhases*>(context.packed);
  AxisPhases all_y = phases_y(op, w);
  AxisPhases all_x = phases_x(op, w);
  std::vector<TapPhase> phases;
  for (int64_t py = 0; py < std::min(op.stride.y, y[1]); ++py) {
    for (int64_t px = 0; px < std::min(op.stride.x, y[2]); ++px) {
      TapPhase& phase = phases.emplace_back();
      phase.origin = {py, px};
      phase.size = {(y[1] - py + op.stride.y - 1) / op.stride.y, (y[2] - px + op.stride.x - 1) / op.stride.x};
      const auto found = packed.find({py, px});
      if (found == packed.end()) continue;  // stride > kernel: only the bias
      phase.panels = found->second.data();
      for (const AxisTap& tap_y : all_y[py]) {
        for (const AxisTap& tap_x : all_x[px]) phase.taps.push_back({tap_y.input, tap_x.input});
      }
    }
  }
  const TapConvolution taps{.input = context.inputs[In::kInput].f32(),
                            .output = context.outputs[0].as<float>(),
                            .input_shape = x,
                            .output_shape = y,
                            .stride = {1, 1},
                            .step = op.stride,
                            .groups = op.groups,
                            .phases = phases,
                            .bias = context.inputs[In::kBias].f32(),
                            .activation = op.activation,
                            .images = ValidRows(x[0], context.inputs[In::kCounts])};
  if (depthwise(op, w)) {
    run_depthwise(taps, Kernels, context);
  } else {
    run_taps(taps, Kernels, context);
  }
}

const KernelRegistration<ConvTranspose2d> reference_row{{.run = reference}};
const KernelRegistration<ConvTranspose2d> baseline_row{{.variant = "baseline",
                                                        .rank = 10,
                                                        .workspace = workspace,
                                                        .packed_input = In::kWeight,
                                                        .pack_key = pack_key<kGemmBaseline>,
                                                        .pack = pack<kGemmBaseline>,
                                                        .run = run<kGemmBaseline>}};
#ifdef INSTASEG_X86
const KernelRegistration<ConvTranspose2d> avx2_row{{.variant = "avx2",
                                                    .isa = Isa::avx2,
                                                    .rank = 20,
                                                    .workspace = workspace,
                                                    .packed_input = In::kWeight,
                                                    .pack_key = pack_key<kGemmAvx2>,
                                                    .pack = pack<kGemmAvx2>,
                                                    .run = run<kGemmAvx2>}};
const KernelRegistration<ConvTranspose2d> avx512_row{{.variant = "avx512",
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
