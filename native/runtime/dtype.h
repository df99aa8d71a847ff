// Element types and their conversions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace instaseg {

enum class DType : uint8_t { f32, f16, bf16, i32, u8 };

size_t size_of(DType dtype);
const char* name_of(DType dtype);
/// Throws ERR_DTYPE for an unknown name.
DType dtype_from_name(std::string_view name);

/// IEEE half precision and bfloat16, given as bits, widened exactly.
float half_to_float(uint16_t bits);
float bfloat16_to_float(uint16_t bits);

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
