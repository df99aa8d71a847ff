// benchmarkCopy, variants:
//   reference  the C library's memcpy, one thread
//   baseline   all threads; on x86-64 with stores that go past the caches, so that nothing is read before it is written
#include "ops/benchmark_copy.h"

#include <cstring>

#ifdef INSTASEG_X86
#include <immintrin.h>
#endif

namespace instaseg::cpu {
namespace {

void reference(const BenchmarkCopy&, const KernelContext& context) {
  const TensorView& input = context.inputs[0];
  if (input.elements() > 0) std::memcpy(context.outputs[0].data, input.data, static_cast<size_t>(input.bytes()));
}

void copy(const float* from, float* to, int64_t count) {
  int64_t i = 0;
#ifdef INSTASEG_X86
  if (reinterpret_cast<uintptr_t>(to) % 16 == 0) {
    for (; i + 16 <= count; i += 16) {
      const __m128 a = _mm_loadu_ps(from + i);
      const __m128 b = _mm_loadu_ps(from + i + 4);
      const __m128 c = _mm_loadu_ps(from + i + 8);
      const __m128 d = _mm_loadu_ps(from + i + 12);
      _mm_stream_ps(to + i, a);
      _mm_stream_ps(to + i + 4, b);
      _mm_stream_ps(to + i + 8, c);
      _mm_stream_ps(to + i + 12, d);
    }
    _mm_sfence();
  }
#endif
  if (i < count) std::memcpy(to + i, from + i, static_cast<size_t>(count - i) * sizeof(float));
}

void parallel(const BenchmarkCopy&, const KernelContext& context) {
  const float* from = context.inputs[0].f32();
  float* to = context.outputs[0].as<float>();
  context.parallel_for(context.outputs[0].elements(), 1 << 16,
                       [&](int64_t begin, int64_t end, int) { copy(from + begin, to + begin, end - begin); });
}

const KernelRegistration<BenchmarkCopy> reference_row{{.run = reference}};
const KernelRegistration<BenchmarkCopy> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel}};

}  // namespace
}  // namespace instaseg::cpu
