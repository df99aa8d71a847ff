// selectConv2d, variants:
//   reference  three scalar loops
//   baseline   the matrix product of conv2d over the pixels of a row, of which one column is kept; 4 lanes
//   avx2       the same with 8 lanes and fused multiply-adds
//   avx512     16 lanes
// All but the first give the bits of conv2d (the matrix product of the same level) and selectChannel after it.
#include "ops/select_conv2d.h"

#include <algorithm>
#include <array>

#include "cpu/exact_sigmoid.h"
#include "cpu/gemm.h"
#include "cpu/rows.h"

namespace instaseg::cpu {
namespace {

using In = SelectConv2d::Input;

/// Pixels of a call of the matrix product: whole tiles of every level.
constexpr int64_t kPixels = 96;

struct Problem {
  explicit Problem(const KernelContext& context)
      : input(context.inputs[In::kInput].f32()),
        labels(context.inputs[In::kLabels].i32()),
        bias(input_or_absent(context, In::kBias).f32()),
        output(context.outputs[0].as<float>()),
        pixels(context.inputs[In::kInput].shape[1] * context.inputs[In::kInput].shape[2]),
        depth(context.inputs[In::kInput].shape[3]),
        channels(context.inputs[In::kWeight].shape[0]),
        rows(context.inputs[In::kInput].shape[0], input_or_absent(context, In::kCounts)) {}

  int64_t label(int64_t row) const {
    const int64_t value = labels[row];
    require(value >= 0 && value < channels, ErrorCode::argument, SelectConv2d::name, ": label ", value, " of row ", row,
            " is outside the ", channels, " channels");
    return value;
  }

  const float* input;
  const int32_t* labels;
  const float* bias;
  float* output;
  int64_t pixels;
  int64_t depth;
  int64_t channels;
  ValidRows rows;
};

void reference(const SelectConv2d& op, const KernelContext& context) {
  const Problem p(context);
  const float* weight = context.inputs[In::kWeight].f32();
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const int64_t row = p.rows.row(i);
    const int64_t label = p.label(row);
    for (int64_t pixel = row * p.pixels; pixel < (row + 1) * p.pixels; ++pixel) {
      float sum = 0.0f;
      for (int64_t k = 0; k < p.depth; ++k) sum += p.input[pixel * p.depth + k] * weight[label * p.depth + k];
      if (p.bias) sum += p.bias[label];
      p.output[pixel] = op.sigmoid ? exact_sigmoid(sum) : sum;
    }
  }
}

template <const GemmKernels& Kernels>
std::string pack_key(const SelectConv2d&, const Specs&) {
  return "selectConv2d panels of " + std::to_string(Kernels.panel_columns);
}

// A panel is read from the label's column on, beyond its last row: a panel of zeros follows the last one.
template <const GemmKernels& Kernels>
std::shared_ptr<const void> pack(const SelectConv2d&, const TensorView& weight, const PackContext& context) {
  const int64_t channels = weight.shape[0];
  const int64_t depth = weight.shape[1];
  return std::make_shared<PackedPanels>(pack_panels(
      Kernels.panel_columns, 1, channels + Kernels.panel_columns, depth, *context.host,
      [&](int64_t, int64_t column, int64_t k) { return column < channels ? weight.f32()[column * depth + k] : 0.0f; }));
}

template <const GemmKernels& Kernels, void (*Sigmoid)(float*, int64_t)>
void run(const SelectConv2d& op, const KernelContext& context) {
  const Problem p(context);
  const float* panels = static_cast<const PackedPanels*>(context.packed)->data();
  constexpr std::array<float, kMostPanelColumns> ones = [] {
    std::array<float, kMostPanelColumns> values{};
    values.fill(1.0f);
    return values;
  }();
  std::array<int64_t, kPixels> positions;
  for (int64_t i = 0; i < kPixels; ++i) positions[i] = i;
  context.parallel_for(p.rows.total(), 1, [&](int64_t begin, int64_t end, int) {
    std::array<const float*, kPixels> pixels;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = p.rows.row(i);
      const int64_t label = p.label(row);
      std::array<float, kMostPanelColumns> bias{};
      if (p.bias) bias[0] = p.bias[label];
      const int64_t width = Kernels.panel_columns;
      PanelCall call;
      call.a = pixels.data();
      call.taps = 1;
      call.run = p.depth;
      call.b = panels + label / width * width * p.depth + label % width;
      call.c_rows = positions.data();
      call.columns = 1;
      call.finish = true;
      call.scale = ones.data();
      call.bias = bias.data();
      float* output = p.output + row * p.pixels;
      for (int64_t first = 0; first < p.pixels; first += kPixels) {
        call.rows = call.a_stride = std::min(kPixels, p.pixels - first);
        call.c = output + first;
        for (int64_t j = 0; j < call.rows; ++j) pixels[j] = p.input + (row * p.pixels + first + j) * p.depth;
        Kernels.panel(call);
      }
      if (op.sigmoid) Sigmoid(output, p.pixels);
    }
  });
}

void sigmoid_baseline(float* y, int64_t count) { exact_sigmoid_span(y, count); }

const KernelRegistration<SelectConv2d> reference_row{{.run = reference}};
const KernelRegistration<SelectConv2d> baseline_row{{.variant = "baseline",
                                                     .rank = 10,
                                                     .packed_input = In::kWeight,
                                                     .pack_key = pack_key<kGemmBaseline>,
                                                     .pack = pack<kGemmBaseline>,
                                                     .run = run<kGemmBaseline, sigmoid_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void sigmoid_avx2(float* y, int64_t count) { exact_sigmoid_span(y, count); }
const KernelRegistration<SelectConv2d> avx2_row{{.variant = "avx2",
                                                 .isa = Isa::avx2,
                                                 .rank = 20,
                                                 .packed_input = In::kWeight,
                                                 .pack_key = pack_key<kGemmAvx2>,
                                                 .pack = pack<kGemmAvx2>,
                                                 .run = run<kGemmAvx2, sigmoid_avx2>}};
const KernelRegistration<SelectConv2d> avx512_row{{.variant = "avx512",
                                                   .isa = Isa::avx512,
                                                   .rank = 30,
                                                   .packed_input = In::kWeight,
                                                   .pack_key = pack_key<kGemmAvx512>,
                                                   .pack = pack<kGemmAvx512>,
                                                   .run = run<kGemmAvx512, sigmoid_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
