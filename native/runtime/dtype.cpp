#include "runtime/dtype.h"

#include <cstring>

#include "runtime/error.h"

namespace instaseg {

size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "i32";
    case DType::u8:
      return "u8";
  }
  return "?";
}

DType dtype_from_name(std::string_view name) {
  for (DType dtype : {DType::f32, DType::f16, DType::bf16, DType::i32, DType::u8}) {
    if (name == name_of(dtype)) return dtype;
  }
  fail(ErrorCode::dtype, "dtype must be one of f32, f16, bf16, i32, u8; received \"", name, "\"");
}

namespace {

// Checkpoint bytes come at any alignment, hence the copies.
template <class T, class Convert>
void widen(const void* source, float* target, size_t count, Convert convert) {
  const auto* bytes = static_cast<const unsigned char*>(source);
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    target[i] = convert(value);
  }
}

template <class T>
float plain(T value) {
  return static_cast<float>(value);
}

}  // namespace

size_t checkpoint_dtype_size(std::string_view dtype) {
  if (dtype == "f64" || dtype == "i64") return 8;
  if (dtype == "f32" || dtype == "i32") return 4;
  if (dtype == "f16" || dtype == "bf16" || dtype == "i16") return 2;
  if (dtype == "i8" || dtype == "u8" || dtype == "bool") return 1;
  fail(ErrorCode::dtype, "unknown checkpoint dtype \"", dtype, "\"");
}

void widen_to_f32(std::string_view dtype, const void* source, float* target, size_t count) {
  checkpoint_dtype_size(dtype);  // refuses an unknown name
  if (count == 0) return;        // empty memory may have no address
  if (dtype == "f32") {
    std::memcpy(target, source, count * sizeof(float));
  } else if (dtype == "f16") {
    widen<uint16_t>(source, target, count, half_to_float);
  } else if (dtype == "bf16") {
    widen<uint16_t>(source, target, count, bfloat16_to_float);
  } else if (dtype == "f64") {
    widen<double>(source, target, count, plain<double>);
  } else if (dtype == "i64") {
    widen<int64_t>(source, target, count, plain<int64_t>);
  } else if (dtype == "i32") {
    widen<int32_t>(source, target, count, plain<int32_t>);
  } else if (dtype == "i16") {
    widen<int16_t>(source, target, count, plain<int16_t>);
  } else if (dtype == "i8") {
    widen<int8_t>(source, target, count, plain<int8_t>);
  } else {
    widen<uint8_t>(source, target, count, plain<uint8_t>);
  }
}

}  // namespace instaseg
