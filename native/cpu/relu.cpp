// relu, variants:
//   reference  one scalar loop
//   baseline   the same loop over all threads, vectorised for x86-64 (or the target's baseline)
//   avx2       the same, 8 lanes
#include "ops/relu.h"

namespace instaseg::cpu {
namespace {

// Written so that NaN passes through, and that slope 0 gives 0 for -infinity too.
INSTASEG_INLINE float activate(float x, float slope) {
  const float negative = slope == 0.0f ? 0.0f : x * slope;
  return x < 0.0f ? negative : x;
}

void reference(const Relu& op, const KernelContext& context) {
  const float* x = context.inputs[0].f32();
  float* y = context.outputs[0].as<float>();
  for (int64_t i = 0; i < context.outputs[0].elements(); ++i) y[i] = activate(x[i], op.negative_slope);
}

INSTASEG_INLINE void span(const float* x, float* y, int64_t count, float slope) {
  for (int64_t i = 0; i < count; ++i) y[i] = activate(x[i], slope);
}
void span_baseline(const float* x, float* y, int64_t count, float slope) { span(x, y, count, slope); }

template <void (*Span)(const float*, float*, int64_t, float)>
void parallel(const Relu& op, const KernelContext& context) {
  const float* x = context.inputs[0].f32();
  float* y = context.outputs[0].as<float>();
  context.parallel_for(context.outputs[0].elements(), 1 << 15, [&](int64_t begin, int64_t end, int) {
    Span(x + begin, y + begin, end - begin, op.negative_slope);
  });
}

const KernelRegistration<Relu> reference_row{{.run = reference}};
const KernelRegistration<Relu> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel<span_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void span_avx2(const float* x, float* y, int64_t count, float slope) { span(x, y, count, slope); }
const KernelRegistration<Relu> avx2_row{{.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<span_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
