// exp, sigmoid and tanh of one float as straight-line arithmetic: compilers vectorise loops over them, and every lane
// and every tail element goes through the same roundings, on SSE2 as on AVX2 (no contraction). The polynomials are
// minimax fits over the ranges named below; errors are below 2 ulp (exp) and 4 ulp (sigmoid, tanh).
#pragma once

#include <cmath>
#include <cstdint>

#include "runtime/isa.h"

namespace instaseg::cpu {

INSTASEG_INLINE float float_from_bits(uint32_t bits) { return __builtin_bit_cast(float, bits); }
INSTASEG_INLINE uint32_t bits_from_float(float value) { return __builtin_bit_cast(uint32_t, value); }

/// a where the condition holds, else b, without a branch: compilers do not vectorise over branches around float
/// operations, as those can trap, and they make branches of ?: on floats. Conditions compare integers for the same
/// reason.
INSTASEG_INLINE float branchless_select(bool condition, float a, float b) {
  const uint32_t mask = condition ? 0xffffffffu : 0u;
  return float_from_bits((bits_from_float(a) & mask) | (bits_from_float(b) & ~mask));
}

/// e^x; 0 below -104, infinity above 88.73, subnormal results are rounded once. NaN stays NaN.
INSTASEG_INLINE float vector_exp(float argument) {
  const uint32_t bits = bits_from_float(argument);
  const int32_t magnitude = static_cast<int32_t>(bits & 0x7fffffffu);
  constexpr int32_t kLimit = 0x42d20000;     // 105
  constexpr int32_t kInfinity = 0x7f800000;  // NaN lies above it
  const int32_t limited = magnitude < kLimit ? magnitude : kLimit;
  const float x = float_from_bits(static_cast<uint32_t>(limited) | (bits & 0x80000000u));
  // Adding 1.5 * 2^23 rounds x / ln 2 to an integer that then sits in the low mantissa bits.
  constexpr float kMagic = 12582912.0f;
  const float shifted = x * 1.44269504f + kMagic;
  const float n = shifted - kMagic;
  // ln 2 in two parts, the first short enough for n times it to be exact.
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float q = 1.395171974e-3f;
  q = q * r + 8.369598538e-3f;
  q = q * r + 4.166618735e-2f;
  q = q * r + 1.666651219e-1f;
  q = q * r + 0.5f;
  const float p = (r * r) * q + r + 1.0f;
  // 2^n in two factors: n goes from -152 to 152, and one factor could not hold it.
  const uint32_t exponent = bits_from_float(shifted) - 0x4b400000u;
  const uint32_t half = static_cast<uint32_t>(static_cast<int32_t>(exponent) >> 1);
  const float result = p * float_from_bits((half + 127u) << 23) * float_from_bits((exponent - half + 127u) << 23);
  return branchless_select(magnitude > kInfinity, argument, result);
}

INSTASEG_INLINE float vector_sigmoid(float x) { return 1.0f / (1.0f + vector_exp(-x)); }

INSTASEG_INLINE float vector_tanh(float x) {
  const uint32_t bits = bits_from_float(x);
  const float magnitude = float_from_bits(bits & 0x7fffffffu);
  // Up to 0.625 an odd polynomial keeps the relative error of small values; above it 1 - 2 / (e^2x + 1).
  const float z = magnitude * magnitude;
  float q = -5.717045162e-3f;
  q = q * z + 2.065058798e-2f;
  q = q * z - 5.374349654e-2f;
  q = q * z + 1.333149076e-1f;
  q = q * z - 3.333328366e-1f;
  const float small = q * z * magnitude + magnitude;
  const float large = 1.0f - 2.0f / (vector_exp(2.0f * magnitude) + 1.0f);
  const float result = branchless_select(static_cast<int32_t>(bits & 0x7fffffffu) < 0x3f200000, small, large);
  return float_from_bits(bits_from_float(result) | (bits & 0x80000000u));
}

}  // namespace instaseg::cpu
