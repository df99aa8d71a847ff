// gatherRows: rows of each image by index: output[n, k] = input[n, indices[n, k]].
//   input   f32 or i32 [N, M, ...], or [1, M, ...], which serves every image
//   indices i32 [N, K]; one outside [0, M) is ERR_ARGUMENT when the op runs
//   output  [N, K, ...]
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct GatherRows {
  static constexpr const char* name = "gatherRows";
  static constexpr const char* inputs[] = {"input", "indices", "counts?"};

  static GatherRows parse(AttributeReader&) { return {}; }
  Specs infer(const Specs& in) const {
    const Shape& input = in[0].shape;
    require_dtype(name, "indices", in[1], DType::i32);
    require_rank(name, "indices", in[1], 2);
    const int64_t images = in[1].shape[0];
    require(input.rank() >= 2 && (input[0] == images || input[0] == 1), ErrorCode::shape, name,
            ": input must be [N, M, ...] or [1, M, ...] for indices of shape ", in[1].shape, "; received ", input);
    require_image_counts(name, input_or_absent(in, 2), images);
    Shape shape{images, in[1].shape[1]};
    for (int axis = 2; axis < input.rank(); ++axis) shape.append(input[axis]);
    return {{.dtype = in[0].dtype, .shape = shape}};
  }
};
inline const OpRegistration<GatherRows> gather_rows_registration;

}  // namespace instaseg
