// linear, variants:
//   reference  three scalar loops
//   baseline   the matrix product of conv2d (a row is an image of one pixel), 4 lanes
//   avx2       the same with 8 lanes and fused multiply-adds
//   avx512     16 lanes
#include "ops/linear.h"

#include "cpu/gemm_taps.h"

namespace instaseg::cpu {
namespace {

using In = Linear::Input;

void reference(const Linear& op, const KernelContext& context) {
  const Shape& w = context.inputs[In::kWeight].shape;
  const float* bias = context.inputs[In::kBias].f32();
  const ValidRows rows(context.inputs[In::kInput].shape[0], context.inputs[In::kCounts]);
  for (int64_t i = 0; i < rows.total(); ++i) {
    const float* input = context.inputs[In::kInput].f32() + rows.row(i) * w[1];
    float* output = context.outputs[0].as<float>() + rows.row(i) * w[0];
    for (int64_t o = 0; o < w[0]; ++o) {
      float sum = 0.0f;
      for (int64_t k = 0; k < w[1]; ++k) sum += input[k] * context.inputs[In::kWeight].f32()[o * w[1] + k];
      output[o] = activate_reference(op.activation, sum + (bias ? bias[o] : 0.0f));
    }
  }
}

template <const GemmKernels& Kernels>
std::string pack_key(const Linear&, const Specs&) {
  return "linear panels of " + std::to_string(Kernels.panel_columns);
}

template <const GemmKernels& Kernels>
std::shared_ptr<const void> pack(const Linear&, const TensorView& weight, const PackContext& context) {
  const int64_t depth = weight.shape[1];
  return std::make_shared<PackedPanels>(
      pack_panels(Kernels.panel_columns, 1, weight.shape[0], depth, *context.host,
                  [&](int64_t, int64_t column, int64_t k) { return weight.f32()[column * depth + k]; }));
}

size_t workspace(const Linear&, const Specs& in, const Specs&, int threads) {
  return tap_workspace(1, 1, in[In::kInput].shape[1], 1, threads);
}

template <const GemmKernels& Kernels>
void run(const Linear& op, const KernelContext& context) {
  const Shape& x = context.inputs[In::kInput].shape;
  const Shape& y = context.outputs[0].shape;
  if (y.elements() == 0) return;
  const TapPhase phase{.origin = {0, 0},
                       .size = {1, 1},
                       .taps = {{0, 0}},
                       .panels = static_cast<const PackedPanels*>(context.packed)->data()};
  run_taps({.input = context.inputs[In::kInput].f32(),
            .output = context.outputs[0].as<float>(),
            .input_shape = {x[0], 1, 1, x[1]},
            .output_shape = {y[0], 1, 1, y[1]},
            .stride = {1, 1},
            .phases = {&phase, 1},
            .bias = context.inputs[In::kBias].f32(),
            .activation = op.activation,
            .images = ValidRows(x[0], context.inputs[In::kCounts])},
           Kernels, context);
}

const KernelRegistration<Linear> reference_row{{.run = reference}};
const KernelRegistration<Linear> baseline_row{{.variant = "baseline",
                                               .rank = 10,
                                               .workspace = workspace,
                                               .packed_input = In::kWeight,
                                               .pack_key = pack_key<kGemmBaseline>,
                                               .pack = pack<kGemmBaseline>,
                                               .run = run<kGemmBaseline>}};
#ifdef INSTASEG_X86
const KernelRegistration<Linear> avx2_row{{.variant = "avx2",
                                           .isa = Isa::avx2,
                                           .rank = 20,
                                           .workspace = workspace,
                                           .packed_input = In::kWeight,
                                           .pack_key = pack_key<kGemmAvx2>,
                                           .pack = pack<kGemmAvx2>,
                                           .run = run<kGemmAvx2>}};
const KernelRegistration<Linear> avx512_row{{.variant = "avx512",
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
