// Checks and formulas that the shape rules of several ops share.
#pragma once

#include <string>

#include "runtime/attributes.h"
#include "runtime/registry.h"

namespace instaseg {

inline void require_rank(const char* op, const char* input, const TensorSpec& spec, int rank) {
  require(spec.shape.rank() == rank, ErrorCode::shape, op, ": ", input, " must have ", rank, " dimensions; received ",
          spec.shape);
}

inline void require_dtype(const char* op, const char* input, const TensorSpec& spec, DType dtype) {
  require(spec.dtype == dtype, ErrorCode::dtype, op, ": ", input, " must be ", name_of(dtype), "; received ",
          name_of(spec.dtype));
}

/// Images and feature maps: f32, f16 or bf16. Which of them a device computes is up to its kernels.
inline void require_float(const char* op, const char* input, const TensorSpec& spec) {
  require(spec.dtype == DType::f32 || spec.dtype == DType::f16 || spec.dtype == DType::bf16, ErrorCode::dtype, op, ": ",
          input, " must be f32, f16 or bf16; received ", name_of(spec.dtype));
}

inline void require_shape(const char* op, const char* input, const TensorSpec& spec, const Shape& shape) {
  require(spec.shape == shape, ErrorCode::shape, op, ": ", input, " must have shape ", shape, "; received ",
          spec.shape);
}

/// Row counts: i32 [groups], where the rows of a [groups * capacity, ...] tensor are split evenly over the groups and
/// only the first counts[g] rows of group g are valid.
inline void require_counts(const char* op, const TensorSpec& counts, int64_t rows) {
  if (counts.absent) return;
  require_dtype(op, "counts", counts, DType::i32);
  require_rank(op, "counts", counts, 1);
  const int64_t groups = counts.shape[0];
  require(groups > 0 && rows % groups == 0, ErrorCode::shape, op, ": ", rows, " rows cannot be split evenly over the ",
          groups, " counts");
}

/// Output size of a sliding window; throws ERR_SHAPE when the window does not fit.
inline int64_t window_output(const char* op, int64_t input, int64_t kernel, int64_t stride, int64_t padding,
                             int64_t dilation) {
  const int64_t extent = dilation * (kernel - 1) + 1;
  const int64_t padded = input + 2 * padding;
  require(padded >= extent, ErrorCode::shape, op, ": a window of ", extent, " does not fit the padded size ", padded);
  return (padded - extent) / stride + 1;
}

inline void require_positive(const char* op, const char* name, Pair value) {
  require(value.y > 0 && value.x > 0 && value.y < (1 << 20) && value.x < (1 << 20), ErrorCode::argument, op, ": ", name,
          " must be positive; received [", value.y, ", ", value.x, "]");
}

inline void require_not_negative(const char* op, const char* name, Pair value) {
  require(value.y >= 0 && value.x >= 0 && value.y < (1 << 20) && value.x < (1 << 20), ErrorCode::argument, op, ": ",
          name, " must not be negative; received [", value.y, ", ", value.x, "]");
}

}  // namespace instaseg
