// cast: the same numbers in another dtype. Between f32, f16 and bf16 they are rounded to the nearest (ties to even),
// beyond the largest to infinity; f32 to i32 or u8 drops the fraction and stays within the integer's range, NaN giving
// 0; i32 and u8 to f32 are rounded to the nearest. Integers and half precision meet by way of f32.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct Cast {
  DType dtype = DType::f32;

  static constexpr const char* name = "cast";
  static constexpr const char* inputs[] = {"input"};
  static Cast parse(AttributeReader& reader) {
    static constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16, DType::i32, DType::u8};
    return {.dtype = kTypes[reader.choice("dtype", {"f32", "f16", "bf16", "i32", "u8"})]};
  }
  Specs infer(const Specs& in) const {
    const auto integer = [](DType type) { return type == DType::i32 || type == DType::u8; };
    const DType from = in[0].dtype;
    require(from == dtype || from == DType::f32 || dtype == DType::f32 || (!integer(from) && !integer(dtype)),
            ErrorCode::dtype, name, ": there is no cast from ", name_of(from), " to ", name_of(dtype),
            "; cast to f32 first");
    return {{.dtype = dtype, .shape = in[0].shape}};
  }
};
inline const OpRegistration<Cast> cast_registration;

}  // namespace instaseg
