// benchmarkFma, variants:
//   reference  one element at a time
//   baseline   all threads; on x86-64 12 registers of 4 lanes, a product and a sum each
//   avx2       12 registers of 8 lanes: fused, and enough of them to hide the latency of two units
//   avx512     12 registers of 16 lanes
#include "ops/benchmark_fma.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#ifdef INSTASEG_X86
#include <immintrin.h>
#endif

namespace instaseg::cpu {
namespace {

void reference(const BenchmarkFma& op, const KernelContext& context) {
  const float* x = context.inputs[0].f32();
  float* y = context.outputs[0].as<float>();
  for (int64_t i = 0; i < context.outputs[0].elements(); ++i) {
    float value = x[i];
    for (int64_t k = 0; k < op.length; ++k) value = std::fma(value, op.factor, op.addend);
    y[i] = value;
  }
}

// Elements that the widest kernel holds in registers at a time; the narrower ones take several turns.
constexpr int64_t kGroup = 192;
constexpr int kRegisters = 12;

using Group = void (*)(const float* x, float* y, const BenchmarkFma& op);

// Groups are padded by copies, so that every element goes through the same instructions.
template <Group Body>
void parallel(const BenchmarkFma& op, const KernelContext& context) {
  const float* x = context.inputs[0].f32();
  float* y = context.outputs[0].as<float>();
  const int64_t count = context.outputs[0].elements();
  context.parallel_for((count + kGroup - 1) / kGroup, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t group = begin; group < end; ++group) {
      alignas(64) float values[kGroup] = {};
      const int64_t first = group * kGroup;
      const size_t bytes = static_cast<size_t>(std::min(kGroup, count - first)) * sizeof(float);
      std::memcpy(values, x + first, bytes);
      Body(values, values, op);
      std::memcpy(y + first, values, bytes);
    }
  });
}

#ifdef INSTASEG_X86

void group_baseline(const float* x, float* y, const BenchmarkFma& op) {
  const __m128 factor = _mm_set1_ps(op.factor);
  const __m128 addend = _mm_set1_ps(op.addend);
  for (int64_t at = 0; at < kGroup; at += 4 * kRegisters) {
    __m128 v[kRegisters];
    for (int r = 0; r < kRegisters; ++r) v[r] = _mm_load_ps(x + at + 4 * r);
    for (int64_t k = 0; k < op.length; ++k) {
#pragma GCC unroll 12
      for (int r = 0; r < kRegisters; ++r) v[r] = _mm_add_ps(_mm_mul_ps(v[r], factor), addend);
    }
    for (int r = 0; r < kRegisters; ++r) _mm_store_ps(y + at + 4 * r, v[r]);
  }
}

INSTASEG_AVX2 void group_avx2(const float* x, float* y, const BenchmarkFma& op) {
  const __m256 factor = _mm256_set1_ps(op.factor);
  const __m256 addend = _mm256_set1_ps(op.addend);
  for (int64_t at = 0; at < kGroup; at += 8 * kRegisters) {
    __m256 v[kRegisters];
    for (int r = 0; r < kRegisters; ++r) v[r] = _mm256_load_ps(x + at + 8 * r);
    for (int64_t k = 0; k < op.length; ++k) {
#pragma GCC unroll 12
      for (int r = 0; r < kRegisters; ++r) v[r] = _mm256_fmadd_ps(v[r], factor, addend);
    }
    for (int r = 0; r < kRegisters; ++r) _mm256_store_ps(y + at + 8 * r, v[r]);
  }
}

INSTASEG_AVX512 void group_avx512(const float* x, float* y, const BenchmarkFma& op) {
  const __m512 factor = _mm512_set1_ps(op.factor);
  const __m512 addend = _mm512_set1_ps(op.addend);
  __m512 v[kRegisters];
  for (int r = 0; r < kRegisters; ++r) v[r] = _mm512_load_ps(x + 16 * r);
  for (int64_t k = 0; k < op.length; ++k) {
#pragma GCC unroll 12
    for (int r = 0; r < kRegisters; ++r) v[r] = _mm512_fmadd_ps(v[r], factor, addend);
  }
  for (int r = 0; r < kRegisters; ++r) _mm512_store_ps(y + 16 * r, v[r]);
}

#else

void group_baseline(const float* x, float* y, const BenchmarkFma& op) {
  for (int64_t at = 0; at < kGroup; at += 4 * kRegisters) {
    float v[4 * kRegisters];
    std::copy_n(x + at, 4 * kRegisters, v);
    for (int64_t k = 0; k < op.length; ++k) {
      for (float& value : v) value = value * op.factor + op.addend;
    }
    std::copy_n(v, 4 * kRegisters, y + at);
  }
}

#endif

const KernelRegistration<BenchmarkFma> reference_row{{.run = reference}};
const KernelRegistration<BenchmarkFma> baseline_row{
    {.variant = "baseline", .rank = 10, .run = parallel<group_baseline>}};
#ifdef INSTASEG_X86
const KernelRegistration<BenchmarkFma> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<group_avx2>}};
const KernelRegistration<BenchmarkFma> avx512_row{
    {.variant = "avx512", .isa = Isa::avx512, .rank = 30, .run = parallel<group_avx512>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
