// Vectors of floats of the two x86-64 levels beyond the baseline, under one interface.
//
// A kernel that is written once for both levels is a header without include guard (gemm_x86.h, winograd_x86.h),
// included in a namespace of its own for each level after
//
//   using Lanes = Avx2;                      // or Avx512
//   #define INSTASEG_LEVEL INSTASEG_AVX2     // or INSTASEG_AVX512: every function of the header carries it
//
// because a template cannot choose its own target attribute.
#pragma once

#include "runtime/isa.h"

#ifdef INSTASEG_X86
#include <immintrin.h>

#include <cstdint>

namespace instaseg::cpu {

struct Avx2 {
  using Vec = __m256;
  using Mask = __m256i;
  static constexpr int64_t kCount = 8;
  /// Rows that the matrix product keeps in registers, with two vectors of columns: 12 sums, two weights and a broadcast
  /// value fill 15 of the 16 registers.
  static constexpr int kTileRows = 6;

  INSTASEG_AVX2 static INSTASEG_INLINE Vec zero() { return _mm256_setzero_ps(); }
  INSTASEG_AVX2 static INSTASEG_INLINE Vec set(float value) { return _mm256_set1_ps(value); }
  INSTASEG_AVX2 static INSTASEG_INLINE Vec broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  /// The first `lanes` lanes; all of them where there are more, none where it is negative.
  INSTASEG_AVX2 static INSTASEG_INLINE Mask first(int64_t lanes) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(lanes)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  INSTASEG_AVX2 static INSTASEG_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
  /// Lanes outside the mask are 0 and are not read.
  INSTASEG_AVX2 static INSTASEG_INLINE Vec load(const float* p, Mask mask) { return _mm256_maskload_ps(p, mask); }
  INSTASEG_AVX2 static INSTASEG_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
  INSTASEG_AVX2 static INSTASEG_INLINE void store(float* p, Mask mask, Vec v) { _mm256_maskstore_ps(p, mask, v); }
  INSTASEG_AVX2 static INSTASEG_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  INSTASEG_AVX2 static INSTASEG_INLINE Vec subtract(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
  INSTASEG_AVX2 static INSTASEG_INLINE Vec multiply(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  /// a * b + c
  INSTASEG_AVX2 static INSTASEG_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  /// c - a * b
  INSTASEG_AVX2 static INSTASEG_INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a, b, c); }
  /// NaN stays NaN: maxps gives its second operand where one is NaN.
  INSTASEG_AVX2 static INSTASEG_INLINE Vec relu(Vec a) { return _mm256_max_ps(_mm256_setzero_ps(), a); }
};

struct Avx512 {
  using Vec = __m512;
  using Mask = __mmask16;
  static constexpr int64_t kCount = 16;
  /// 24 sums, two weights and the broadcast values: measured best of 8, 10, 12 and 14 rows.
  static constexpr int kTileRows = 12;

  INSTASEG_AVX512 static INSTASEG_INLINE Vec zero() { return _mm512_setzero_ps(); }
  INSTASEG_AVX512 static INSTASEG_INLINE Vec set(float value) { return _mm512_set1_ps(value); }
  INSTASEG_AVX512 static INSTASEG_INLINE Vec broadcast(const float* p) { return _mm512_set1_ps(*p); }
  INSTASEG_AVX512 static INSTASEG_INLINE Mask first(int64_t lanes) {
    return static_cast<Mask>(lanes >= 16 ? 0xffff : lanes <= 0 ? 0 : (1 << lanes) - 1);
  }
  INSTASEG_AVX512 static INSTASEG_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
  INSTASEG_AVX512 static INSTASEG_INLINE Vec load(const float* p, Mask mask) { return _mm512_maskz_loadu_ps(mask, p); }
  INSTASEG_AVX512 static INSTASEG_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
  INSTASEG_AVX512 static INSTASEG_INLINE void store(float* p, Mask mask, Vec v) { _mm512_mask_storeu_ps(p, mask, v); }
  INSTASEG_AVX512 static INSTASEG_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  INSTASEG_AVX512 static INSTASEG_INLINE Vec subtract(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  INSTASEG_AVX512 static INSTASEG_INLINE Vec multiply(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  INSTASEG_AVX512 static INSTASEG_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  INSTASEG_AVX512 static INSTASEG_INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a, b, c); }
  // The masked form, with all lanes: GCC 12 warns of an uninitialised value inside the other one.
  INSTASEG_AVX512 static INSTASEG_INLINE Vec relu(Vec a) { return _mm512_maskz_max_ps(0xffff, _mm512_setzero_ps(), a); }
};

}  // namespace instaseg::cpu
#endif
