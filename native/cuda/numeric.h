// Element types of tensors in device and host code: f32, f16 and bf16 are stored, arithmetic is f32.
//
//   to_float(x)            exact
//   from_float<T>(x)       to nearest, ties to even; overflow gives infinity, NaN stays NaN
//   pack_pair<T>(lo, hi)   two rounded f16 or bf16 in one register, `lo` in the low half
//   load_vec<N>(p), store_vec(p, v)   N elements at once: one access of up to 16 bytes, to which p must be aligned
//   with_float_type(dtype, [&]<class T>() { ... })
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/platform.h"
#include "runtime/dtype.h"
#include "runtime/error.h"

namespace instaseg::cuda {

struct f16 {
  uint16_t bits;
};
struct bf16 {
  uint16_t bits;
};

// Bits of an f32 and back, on either side.
__host__ __device__ __forceinline__ uint32_t bits_of(float x) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(x);
#else
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
#endif
}
__host__ __device__ __forceinline__ float float_of(uint32_t bits) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
#endif
}

__host__ __device__ __forceinline__ float to_float(float x) { return x; }

__host__ __device__ __forceinline__ float to_float(bf16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }

__host__ __device__ __forceinline__ float to_float(f16 x) {
#ifdef __CUDA_ARCH__
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(x.bits));
  return result;
#else
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t rest = x.bits & 0x7fffu;
  if (rest >= 0x7c00u) return float_of(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  // Moves the fraction and the exponent into place; the product corrects the bias, also of subnormal numbers.
  return float_of(sign | bits_of(float_of(rest << 13) * 0x1p112f));
#endif
}

template <class T>
__host__ __device__ __forceinline__ T from_float(float x);

template <>
__host__ __device__ __forceinline__ float from_float<float>(float x) {
  return x;
}

template <>
__host__ __device__ __forceinline__ bf16 from_float<bf16>(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint16_t result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result) : "f"(x));
  return {result};
#else
  const uint32_t bits = bits_of(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
  return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
#endif
}

template <>
__host__ __device__ __forceinline__ f16 from_float<f16>(float x) {
#ifdef __CUDA_ARCH__
  uint16_t result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result) : "f"(x));
  return {result};
#else
  const uint32_t bits = bits_of(x);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return {0x7fff};
  if (rest >= 0x47800000u) return {static_cast<uint16_t>(sign | 0x7c00u)};
  if (rest < 0x38800000u) {
    // Subnormal in f16: adding 0.5 leaves its multiple of 2^-24 in the low bits, rounded by the addition.
    return {static_cast<uint16_t>(sign | (bits_of(float_of(rest) + 0.5f) - 0x3f000000u))};
  }
  // 65520 and above round up into the exponent of infinity.
  return {static_cast<uint16_t>(sign | ((rest - 0x38000000u + 0xfffu + (rest >> 13 & 1u)) >> 13))};
#endif
}

template <class T>
__host__ __device__ __forceinline__ uint32_t pack_pair(float lo, float hi) {
  static_assert(sizeof(T) == 2);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  // The conversions of pairs take the high half first.
  uint32_t pair;
  if constexpr (std::is_same_v<T, f16>) {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(hi), "f"(lo));
  } else {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(hi), "f"(lo));
  }
  return pair;
#else
  return from_float<T>(lo).bits | static_cast<uint32_t>(from_float<T>(hi).bits) << 16;
#endif
}

/// N neighbouring elements, aligned to their size.
template <class T, int N>
struct alignas(sizeof(T) * N) Vec {
  static_assert(N > 0 && (N & (N - 1)) == 0 && sizeof(T) * N <= 16);
  T data[N];

  __host__ __device__ __forceinline__ T& operator[](int i) { return data[i]; }
  __host__ __device__ __forceinline__ const T& operator[](int i) const { return data[i]; }
};

namespace detail {
// What moves as one access of 1, 2, 4, 8 or 16 bytes.
template <size_t Bytes>
struct Word;
#ifdef INSTASEG_CUDA_EMULATED
// The host compiler takes memory to hold what it was written as, unless told otherwise.
#define INSTASEG_ANY_TYPE __attribute__((may_alias))
typedef uint64_t Word16 __attribute__((vector_size(16), may_alias));
#else
#define INSTASEG_ANY_TYPE
using Word16 = uint4;
#endif
template <>
struct Word<1> {
  typedef uint8_t INSTASEG_ANY_TYPE Type;
};
template <>
struct Word<2> {
  typedef uint16_t INSTASEG_ANY_TYPE Type;
};
template <>
struct Word<4> {
  typedef uint32_t INSTASEG_ANY_TYPE Type;
};
template <>
struct Word<8> {
#ifdef INSTASEG_CUDA_EMULATED
  typedef uint64_t INSTASEG_ANY_TYPE Type;
#else
  using Type = uint2;
#endif
};
template <>
struct Word<16> {
  using Type = Word16;
};
#undef INSTASEG_ANY_TYPE

__device__ __forceinline__ void require_aligned([[maybe_unused]] const void* address, [[maybe_unused]] size_t bytes) {
#ifdef INSTASEG_CUDA_EMULATED
  emulation::require_aligned(address, bytes);
#endif
}
}  // namespace detail

template <int N, class T>
__device__ __forceinline__ Vec<T, N> load_vec(const T* address) {
  Vec<T, N> vec;
  detail::require_aligned(address, sizeof vec);
  const auto word = *reinterpret_cast<const typename detail::Word<sizeof(vec)>::Type*>(address);
  memcpy(&vec, &word, sizeof vec);
  return vec;
}

template <class T, int N>
__device__ __forceinline__ void store_vec(T* address, const Vec<T, N>& vec) {
  detail::require_aligned(address, sizeof vec);
  typename detail::Word<sizeof(vec)>::Type word;
  memcpy(&word, &vec, sizeof vec);
  *reinterpret_cast<typename detail::Word<sizeof(vec)>::Type*>(address) = word;
}

/// Calls `body.operator()<T>()` with the storage type of a float dtype. Throws ERR_DTYPE for integers.
template <class Body>
decltype(auto) with_float_type(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::f16:
      return body.template operator()<f16>();
    case DType::bf16:
      return body.template operator()<bf16>();
    case DType::f32:
      return body.template operator()<float>();
    default:
      fail(ErrorCode::dtype, "expected f32, f16 or bf16, got ", name_of(dtype));
  }
}

}  // namespace instaseg::cuda
