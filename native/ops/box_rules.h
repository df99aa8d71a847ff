// Checks that the shape rules of the box ops share. Boxes are f32 [..., 4] as x1, y1, x2, y2.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

/// Input `index`, or an absent one where the call has fewer inputs.
inline const TensorSpec& input_or_absent(const Specs& in, size_t index) {
  static const TensorSpec none = [] {
    TensorSpec spec;
    spec.absent = true;
    return spec;
  }();
  return index < in.size() ? in[index] : none;
}
inline TensorView input_or_absent(const KernelContext& context, size_t index) {
  return index < context.inputs.size() ? context.inputs[index] : TensorView{};
}

inline void require_boxes(const char* op, const char* input, const TensorSpec& spec, int min_rank) {
  require_dtype(op, input, spec, DType::f32);
  require(spec.shape.rank() >= min_rank && spec.shape.back() == 4, ErrorCode::shape, op, ": ", input,
          " must have at least ", min_rank, " dimensions, the last of them 4 (x1, y1, x2, y2); received ", spec.shape);
}

/// Row counts of a tensor [images, capacity, ...]: i32 [images].
inline void require_image_counts(const char* op, const TensorSpec& counts, int64_t images) {
  if (counts.absent) return;
  require_dtype(op, "counts", counts, DType::i32);
  require_shape(op, "counts", counts, {images});
}

/// Indices and offsets are i32.
inline void require_index_range(const char* op, const char* what, int64_t count) {
  require(count <= INT32_MAX, ErrorCode::shape, op, ": ", what, " must be less than 2^31; received ", count);
}

/// How the rows of a box tensor belong to images: [images, rows, ..., 4], or [images * rows, 4].
struct BoxRows {
  int64_t images = 1;
  int64_t rows = 0;   ///< an image
  int64_t boxes = 1;  ///< a row
};

/// `sizes` i32 [N, 4] gives the number of images; absent: one image for rank 2, else the first dimension.
inline BoxRows box_rows(const char* op, const TensorSpec& boxes, const TensorSpec& sizes) {
  require_boxes(op, "boxes", boxes, 2);
  const Shape& shape = boxes.shape;
  BoxRows result;
  result.images = shape.rank() == 2 ? 1 : shape[0];
  if (!sizes.absent) {
    require_dtype(op, "sizes", sizes, DType::i32);
    require_rank(op, "sizes", sizes, 2);
    const int64_t images = sizes.shape[0];
    require(sizes.shape[1] == 4 && (shape.rank() == 2 ? images > 0 && shape[0] % images == 0 : images == shape[0]),
            ErrorCode::shape, op, ": sizes must be [images, 4] for boxes of shape ", shape, "; received ", sizes.shape);
    result.images = images;
  }
  if (shape.rank() == 2) {
    result.rows = shape[0] / result.images;
  } else {
    result.rows = shape[1];
    for (int axis = 2; axis + 1 < shape.rank(); ++axis) result.boxes *= shape[axis];
  }
  return result;
}

}  // namespace instaseg
