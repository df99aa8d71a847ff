// tanh, variants:
//   reference  the C library's function, one element at a time
//   baseline   own polynomial (cpu/exp.h) over all threads, vectorised for x86-64 (or the target's baseline)
//   avx2       the same, 8 lanes; the same bits
#include "ops/tanh.h"

#include <cmath>

#include "cpu/exp.h"

namespace instaseg::cpu {
namespace {

void reference(const Tanh&, const KernelContext& context) {
  const float* x = context.inputs[0].f32();
  float* y = context.outputs[0].as<float>();
  for (int64_t i = 0; i < context.outputs[0].elements(); ++i) y[i] = std::tanh(x[i]);
}

INSTASEG_INLINE void span(const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = vector_tanh(x[i]);
}
void span_baseline(const float* x, float* y, int64_t count) { span(x, y, count); }

template <void (*Span)(const float*, float*, int64_t)>
void parallel(const Tanh&, const KernelContext& context) {
  const float* x = context.inputs[0].f32();
  float* y = context.outputs[0].as<float>();
  context.parallel_for(context.outputs[0].elements(), 1 << 13,
                       [&](int64_t begin, int64_t end, int) { Span(x + begin, y + begin, end - begin); });
}

const KernelRegistration<Tanh> reference_row{{.run = reference}};
const KernelRegistration<Tanh> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel<span_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void span_avx2(const float* x, float* y, int64_t count) { span(x, y, count); }
const KernelRegistration<Tanh> avx2_row{{.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<span_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
