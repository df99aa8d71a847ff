// Rows of the kernel registry for several dtypes, and rows of tensors that have counts.
#pragma once

#include <initializer_list>

#include "cuda/divide.h"
#include "ops/box_rules.h"
#include "runtime/registry.h"

namespace instaseg::cuda {

inline constexpr std::initializer_list<DType> kFloatTypes = {DType::f32, DType::f16, DType::bf16};
inline constexpr std::initializer_list<DType> kAllTypes = {DType::f32, DType::f16, DType::bf16, DType::i32, DType::u8};

/// One row of the registry for each dtype; `run` tells them apart.
template <class Op>
struct KernelRegistrations {
  KernelRegistrations(std::initializer_list<DType> dtypes, Kernel<Op> kernel) {
    kernel.device = DeviceKind::cuda;
    for (DType dtype : dtypes) {
      kernel.dtype = dtype;
      KernelRegistration<Op>{kernel};
    }
  }
};

/// Rows of a tensor [groups * capacity, ...] of which the first counts[g] of group g are valid; without counts all are.
class ValidRows {
 public:
  ValidRows(int64_t rows, const TensorView& counts)
      : counts_(counts ? counts.i32() : nullptr), capacity_(counts ? rows / counts.shape[0] : rows) {}

  __device__ bool contains(int64_t row) const {
    if (!counts_) return true;
    const Divider::Split at = capacity_.split(row);
    return at.remainder < counts_[at.quotient];
  }

 private:
  const int32_t* counts_;
  Divider capacity_;
};

}  // namespace instaseg::cuda
