// batchNorm, variants:
//   reference  the formula in double, one element at a time
//   baseline   x * scale + shift, both computed once a channel in double and rounded to f32; all threads, vectorised
//              for x86-64 (or the target's baseline)
//   avx2       the same, 8 lanes; the same bits
#include "ops/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "cpu/rows.h"

namespace instaseg::cpu {
namespace {

// Scale and shift of channel c.
struct Affine {
  Affine(const BatchNorm& op, const KernelContext& context, int64_t c) {
    const auto& in = context.inputs;
    scale = (in[1] ? in[1].f32()[c] : 1.0) / std::sqrt(in[4].f32()[c] + op.epsilon);
    shift = (in[2] ? in[2].f32()[c] : 0.0) - in[3].f32()[c] * scale;
  }
  double scale, shift;
};

void reference(const BatchNorm& op, const KernelContext& context) {
  const Shape& shape = context.inputs[0].shape;
  const int64_t channels = shape.back();
  const int64_t row = shape.elements(1, shape.rank());
  const ValidRows valid(shape[0], context.inputs[5]);
  for (int64_t r = 0; r < valid.total(); ++r) {
    const float* x = context.inputs[0].f32() + valid.row(r) * row;
    float* y = context.outputs[0].as<float>() + valid.row(r) * row;
    for (int64_t i = 0; i < row; ++i) {
      const Affine affine(op, context, i % channels);
      y[i] = static_cast<float>(x[i] * affine.scale + affine.shift);
    }
  }
}

// Scale and shift are repeated to a period of 64 elements or more, so that few channels vectorise as well as many.
int64_t period(int64_t channels) { return channels < 64 ? (64 + channels - 1) / channels * channels : channels; }

INSTASEG_INLINE void span(const float* __restrict x, float* __restrict y, int64_t count, const float* __restrict scale,
                          const float* __restrict shift, int64_t period) {
  for (int64_t i = 0; i < count; i += period) {
    const int64_t width = count - i < period ? count - i : period;
    for (int64_t k = 0; k < width; ++k) y[i + k] = x[i + k] * scale[k] + shift[k];
  }
}
void span_baseline(const float* x, float* y, int64_t count, const float* scale, const float* shift, int64_t period) {
  span(x, y, count, scale, shift, period);
}

template <void (*Span)(const float*, float*, int64_t, const float*, const float*, int64_t)>
void parallel(const BatchNorm& op, const KernelContext& context) {
  const Shape& shape = context.inputs[0].shape;
  if (context.outputs[0].elements() == 0) return;
  const int64_t channels = shape.back();
  const int64_t repeated = period(channels);
  float* scale = reinterpret_cast<float*>(context.workspace);
  float* shift = scale + repeated;
  for (int64_t c = 0; c < repeated; ++c) {
    const Affine affine(op, context, c % channels);
    scale[c] = static_cast<float>(affine.scale);
    shift[c] = static_cast<float>(affine.shift);
  }
  // Pixels (all axes but the last) are numbered over the valid rows of axis 0, which may have gaps between groups.
  const int64_t pixels = shape.elements(1, shape.rank() - 1);
  const TensorView& counts = context.inputs[5];
  const ValidRows valid(shape[0], counts);
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / channels);
  context.parallel_for(valid.total() * pixels, grain, [&](int64_t begin, int64_t end, int) {
    while (begin < end) {
      const int64_t row = begin / pixels;
      const int64_t stop = counts ? std::min(end, (row + 1) * pixels) : end;
      const int64_t offset = (valid.row(row) * pixels + begin % pixels) * channels;
      Span(context.inputs[0].f32() + offset, context.outputs[0].as<float>() + offset, (stop - begin) * channels, scale,
           shift, repeated);
      begin = stop;
    }
  });
}

size_t workspace(const BatchNorm&, const Specs& inputs, const Specs&, int) {
  const int64_t channels = inputs[0].shape.back();
  return channels ? static_cast<size_t>(period(channels)) * 2 * sizeof(float) : 0;
}

const KernelRegistration<BatchNorm> reference_row{{.run = reference}};
const KernelRegistration<BatchNorm> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = parallel<span_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void span_avx2(const float* x, float* y, int64_t count, const float* scale, const float* shift,
                             int64_t period) {
  span(x, y, count, scale, shift, period);
}
const KernelRegistration<BatchNorm> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .workspace = workspace, .run = parallel<span_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
