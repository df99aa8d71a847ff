// Rows of tensors with a fixed capacity, of which device memory says how many are valid (see require_counts), and
// boxes as 16-byte accesses.
#pragma once

#include "cuda/numeric.h"
#include "ops/decision_math.h"
#include "runtime/tensor.h"

namespace instaseg::cuda {

/// Valid rows of each group of `capacity` rows; without counts all of them.
struct RowCounts {
  /// Groups of a known size.
  static RowCounts of_groups(int64_t capacity, const TensorView& counts) {
    return {counts ? counts.i32() : nullptr, capacity};
  }
  /// The rows of a tensor, split evenly over the counts.
  static RowCounts of_rows(int64_t rows, const TensorView& counts) {
    const int64_t groups = counts ? counts.shape[0] : 1;
    return {counts ? counts.i32() : nullptr, groups ? rows / groups : 0};
  }

  __device__ __forceinline__ int64_t operator[](int64_t group) const {
    if (!counts) return capacity;
    const int64_t count = counts[group];
    return count < 0 ? 0 : (count < capacity ? count : capacity);
  }
  /// Whether a row of the tensor is valid.
  __device__ __forceinline__ bool valid(int64_t row) const {
    return !counts || row % capacity < (*this)[row / capacity];
  }

  const int32_t* counts;
  int64_t capacity;
};

__device__ __forceinline__ Box load_box(const Box* boxes, int64_t i) {
  const Vec<float, 4> v = load_vec<4>(reinterpret_cast<const float*>(boxes + i));
  return {v[0], v[1], v[2], v[3]};
}
__device__ __forceinline__ void store_box(Box* boxes, int64_t i, const Box& box) {
  store_vec(reinterpret_cast<float*>(boxes + i), Vec<float, 4>{box.x1, box.y1, box.x2, box.y2});
}

}  // namespace instaseg::cuda
