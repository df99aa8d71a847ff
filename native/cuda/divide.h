// Division by numbers that are known at launch, as every kernel does to tell its place in a tensor.
#pragma once

#include <cstdint>

#include "cuda/platform.h"

namespace instaseg::cuda {

/// Divides any n >= 0 by a multiplication and a shift: a division in 64 bits is a subroutine of some hundred
/// instructions. "Division by invariant integers using multiplication", Granlund and Montgomery 1994.
class Divider {
 public:
  struct Split {
    int64_t quotient;
    int64_t remainder;
  };

  Divider() = default;
  /// At most 2^62, as numbers of elements are. 0 stands for an empty tensor, which nobody divides.
  explicit Divider(int64_t divisor) : divisor_(divisor > 0 ? divisor : 1) {
    while (int64_t{1} << shift_ < divisor_) ++shift_;
    const auto d = static_cast<unsigned __int128>(divisor_);
    multiplier_ = static_cast<uint64_t>(((((static_cast<unsigned __int128>(1) << shift_) - d) << 64) / d) + 1);
  }

  __host__ __device__ int64_t divisor() const { return divisor_; }
  __host__ __device__ int64_t quotient(int64_t n) const {
    // floor(n / d) = floor(n * (2^64 + m) / 2^(64 + s)) for s = ceil(log2 d) and m = floor(2^64 * (2^s - d) / d) + 1;
    // below 2^63 the sum fits.
    const uint64_t dividend = static_cast<uint64_t>(n);
    const auto high = static_cast<uint64_t>(static_cast<unsigned __int128>(dividend) * multiplier_ >> 64);
    return static_cast<int64_t>((high + dividend) >> shift_);
  }
  __host__ __device__ Split split(int64_t n) const {
    const int64_t q = quotient(n);
    return {q, n - q * divisor_};
  }

 private:
  int64_t divisor_ = 1;
  uint64_t multiplier_ = 1;
  uint32_t shift_ = 0;
};

}  // namespace instaseg::cuda
