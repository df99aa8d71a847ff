// finiteRows: indices of the rows that hold no NaN and no infinity, in ascending order.
//   boxes f32 [N, K, ...], scores f32 [N, K, ...]: row k of an image is all that both have at [n, k]
//   indices i32 [N, K], counts i32 [N]
// As detectron2 does before it looks at predictions (find_top_rpn_proposals, fast_rcnn_inference_single_image).
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct FiniteRows {
  static constexpr const char* name = "finiteRows";
  static constexpr const char* inputs[] = {"boxes", "scores", "counts?"};

  static FiniteRows parse(AttributeReader&) { return {}; }
  Specs infer(const Specs& in) const {
    require_dtype(name, "boxes", in[0], DType::f32);
    require_dtype(name, "scores", in[1], DType::f32);
    const Shape& boxes = in[0].shape;
    const Shape& scores = in[1].shape;
    require(boxes.rank() >= 2 && scores.rank() >= 2 && scores[0] == boxes[0] && scores[1] == boxes[1], ErrorCode::shape,
            name, ": expected boxes [N, K, ...] and scores [N, K, ...]; received ", boxes, " and ", scores);
    require_index_range(name, "rows", boxes[1]);
    require_image_counts(name, input_or_absent(in, 2), boxes[0]);
    return {{.dtype = DType::i32, .shape = {boxes[0], boxes[1]}}, {.dtype = DType::i32, .shape = {boxes[0]}}};
  }
};
inline const OpRegistration<FiniteRows> finite_rows_registration;

}  // namespace instaseg
