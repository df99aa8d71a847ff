// multiply, variants:
//   reference  one scalar loop
//   baseline   the same loop over all threads, vectorised for x86-64 (or the target's baseline)
//   avx2       the same, 8 lanes
#include "ops/multiply.h"

namespace instaseg::cpu {
namespace {

void reference(const Multiply&, const KernelContext& context) {
  const float* a = context.inputs[0].f32();
  const float* b = context.inputs[1].f32();
  float* y = context.outputs[0].as<float>();
  for (int64_t i = 0; i < context.outputs[0].elements(); ++i) y[i] = a[i] * b[i];
}

INSTASEG_INLINE void span(const float* a, const float* b, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = a[i] * b[i];
}
void span_baseline(const float* a, const float* b, float* y, int64_t count) { span(a, b, y, count); }

template <void (*Span)(const float*, const float*, float*, int64_t)>
void parallel(const Multiply&, const KernelContext& context) {
  const float* a = context.inputs[0].f32();
  const float* b = context.inputs[1].f32();
  float* y = context.outputs[0].as<float>();
  context.parallel_for(context.outputs[0].elements(), 1 << 15,
                       [&](int64_t begin, int64_t end, int) { Span(a + begin, b + begin, y + begin, end - begin); });
}

const KernelRegistration<Multiply> reference_row{{.run = reference}};
const KernelRegistration<Multiply> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel<span_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void span_avx2(const float* a, const float* b, float* y, int64_t count) { span(a, b, y, count); }
const KernelRegistration<Multiply> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<span_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
