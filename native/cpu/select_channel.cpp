// selectChannel, variants:
//   reference  one value at a time
//   baseline   rows over all threads; the strided reads of a row first, then the sigmoid, vectorised
//   avx2       the same, 8 lanes
// All give the same bits: the sigmoid is exact_sigmoid.
#include "ops/select_channel.h"

#include "cpu/exact_sigmoid.h"
#include "cpu/rows.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  explicit Problem(const KernelContext& context)
      : input(context.inputs[0].f32()),
        labels(context.inputs[1].i32()),
        output(context.outputs[0].as<float>()),
        pixels(context.inputs[0].shape[1] * context.inputs[0].shape[2]),
        channels(context.inputs[0].shape[3]),
        rows(context.inputs[0].shape[0], input_or_absent(context, 2)) {}

  const float* source(int64_t row) const {
    const int64_t label = labels[row];
    require(label >= 0 && label < channels, ErrorCode::argument, SelectChannel::name, ": label ", label, " of row ",
            row, " is outside the ", channels, " channels");
    return input + row * pixels * channels + label;
  }

  const float* input;
  const int32_t* labels;
  float* output;
  int64_t pixels;
  int64_t channels;
  ValidRows rows;
};

void reference(const SelectChannel& op, const KernelContext& context) {
  const Problem p(context);
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const int64_t row = p.rows.row(i);
    const float* source = p.source(row);
    for (int64_t pixel = 0; pixel < p.pixels; ++pixel) {
      const float value = source[pixel * p.channels];
      p.output[row * p.pixels + pixel] = op.sigmoid ? exact_sigmoid(value) : value;
    }
  }
}

void sigmoid_baseline(float* y, int64_t count) { exact_sigmoid_span(y, count); }

template <void (*Sigmoid)(float*, int64_t)>
void parallel(const SelectChannel& op, const KernelContext& context) {
  const Problem p(context);
  context.parallel_for(p.rows.total(), 2048 / (p.pixels + 1) + 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = p.rows.row(i);
      const float* source = p.source(row);
      float* target = p.output + row * p.pixels;
      for (int64_t pixel = 0; pixel < p.pixels; ++pixel) target[pixel] = source[pixel * p.channels];
      if (op.sigmoid) Sigmoid(target, p.pixels);
    }
  });
}

const KernelRegistration<SelectChannel> reference_row{{.run = reference}};
const KernelRegistration<SelectChannel> baseline_row{
    {.variant = "baseline", .rank = 10, .run = parallel<sigmoid_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void sigmoid_avx2(float* y, int64_t count) { exact_sigmoid_span(y, count); }
const KernelRegistration<SelectChannel> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<sigmoid_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
