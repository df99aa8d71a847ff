// Moving elements as bits (concat, slice, pad, gatherRows): in units of up to 16 bytes, the widest that every length
// and offset allows.
#pragma once

#include <numeric>

#include "cuda/vectors.h"

namespace instaseg::cuda {

template <int Bytes>
struct alignas(Bytes) Unit {
  static constexpr int kBytes = Bytes;
  uint8_t bytes[Bytes];
};

template <class T>
__device__ __forceinline__ void move_unit(T* to, const T* from) {
  store_vec(to->bytes, load_vec<T::kBytes>(from->bytes));
}

/// The widest unit, at most 16 bytes, that divides `bytes` (a greatest common divisor of lengths and offsets).
inline int64_t unit_bytes(int64_t bytes) { return std::gcd(bytes, int64_t{16}); }

/// Calls `body.operator()<Unit<B>>()` with B = unit_bytes(bytes).
template <class Body>
void with_unit(int64_t bytes, const Body& body) {
  switch (unit_bytes(bytes)) {
    case 16:
      return body.template operator()<Unit<16>>();
    case 8:
      return body.template operator()<Unit<8>>();
    case 4:
      return body.template operator()<Unit<4>>();
    case 2:
      return body.template operator()<Unit<2>>();
    default:
      return body.template operator()<Unit<1>>();
  }
}

/// What an address contributes to such a divisor.
inline int64_t alignment_of(const void* address) {
  return std::gcd(static_cast<int64_t>(reinterpret_cast<uintptr_t>(address) % 16), int64_t{16});
}

}  // namespace instaseg::cuda
