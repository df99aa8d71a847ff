// Division of indices by a number that is fixed for a launch: a multiplication and a shift in place of the thirty-odd
// instructions of a 32-bit division (Granlund and Montgomery, "Division by invariant integers using multiplication",
// PLDI 1994, round-up method).
#pragma once

#include <cstdint>

#include "cuda/platform.h"

namespace instaseg::cuda {

/// Exact for numerators in [0, 2^31) and divisors in [1, 2^31).
class IndexDivider {
 public:
  IndexDivider() = default;
  explicit IndexDivider(int divisor) : divisor_(divisor) {
    while ((uint64_t{1} << shift_) < static_cast<uint64_t>(divisor)) ++shift_;
    const uint64_t excess = (uint64_t{1} << shift_) - static_cast<uint64_t>(divisor);
    multiplier_ = static_cast<uint32_t>((excess << 32) / static_cast<uint64_t>(divisor) + 1);
  }

  __host__ __device__ __forceinline__ int divisor() const { return divisor_; }
  __host__ __device__ __forceinline__ int quotient(int numerator) const {
    const auto n = static_cast<uint32_t>(numerator);
    const auto high = static_cast<uint32_t>((static_cast<uint64_t>(n) * multiplier_) >> 32);
    return static_cast<int>((high + n) >> shift_);
  }
  __host__ __device__ __forceinline__ int remainder(int numerator) const {
    return numerator - quotient(numerator) * divisor_;
  }

 private:
  int divisor_ = 1;
  uint32_t multiplier_ = 1;
  uint32_t shift_ = 0;
};

}  // namespace instaseg::cuda
