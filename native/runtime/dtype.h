// Element types and their conversions.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace instaseg {

enum class DType : uint8_t { f32, f16, bf16, i32, u8 };

size_t size_of(DType dtype);
const char* name_of(DType dtype);
/// Throws ERR_DTYPE for an unknown name.
DType dtype_from_name(std::string_view name);

/// IEEE half precision and bfloat16, given as bits, widened exactly. These four have no branches, so that loops over
/// them vectorise.
inline float half_to_float(uint16_t bits) {
  // As the bits of an f32 number the exponent is 112 short, which a product by 2^112 mends, for subnormal numbers too;
  // only infinity and NaN need their exponent set.
  const uint32_t magnitude = (bits & 0x7fffu) << 13;
  const uint32_t scaled = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  const uint32_t special = magnitude | 0x7f800000u;
  return std::bit_cast<float>((magnitude < 0x0f800000u ? scaled : special) | (bits & 0x8000u) << 16);
}
inline float bfloat16_to_float(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

/// Rounded to the nearest, ties to even; from 65520 on infinity. NaN stays NaN.
inline uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  // A normal half drops 13 bits and 112 of the exponent; a carry runs into the exponent, and at the top to infinity.
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
  // Below 2^-14 the steps are 2^-24, as in f32 numbers from 0.5 on: adding 0.5 rounds to them.
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - std::bit_cast<uint32_t>(0.5f);
  const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u | (magnitude >> 13 & 0x3ffu) : 0x7c00u;
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  return static_cast<uint16_t>((magnitude < 0x47800000u ? finite : special) | (bits >> 16 & 0x8000u));
}
inline uint16_t float_to_bfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : rounded);
}

/// Widens `count` little-endian elements of a checkpoint dtype ("f32", "f16", "bf16", "f64", ...) to f32.
void widen_to_f32(std::string_view source_dtype, const void* source, float* target, size_t count);
/// Bytes an element of a checkpoint dtype takes; throws ERR_DTYPE for an unknown name.
size_t checkpoint_dtype_size(std::string_view dtype);

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};

}  // namespace instaseg
