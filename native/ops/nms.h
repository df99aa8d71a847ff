// nms: greedy non-maximum suppression (torchvision.ops.nms; with groups, its batched_nms by one nms a class).
//   boxes f32 [N, K, 4], scores f32 [N, K], groups i32 [N, K]: boxes suppress only boxes of their group
//   indices i32 [N, maxOutput] in the order score descending, then index ascending; counts i32 [N]
// In that order, a box is kept unless a kept box of its group has an IoU with it above the threshold: f32 IoU against
// the f64 threshold. A NaN IoU (empty or NaN boxes) does not suppress; a box with a NaN score is never kept.
#pragma once

#include "ops/box_rules.h"
#include "ops/decision_math.h"

namespace instaseg {

struct Nms {
  static constexpr const char* name = "nms";
  static constexpr const char* inputs[] = {"boxes", "scores", "groups?", "counts?"};

  double iou_threshold = 0;
  int64_t max_output = -1;

  static Nms parse(AttributeReader& reader) {
    Nms op;
    op.iou_threshold = reader.number("iouThreshold");
    op.max_output = reader.integer("maxOutput", -1);
    require(op.max_output >= -1, ErrorCode::argument, name, ": maxOutput must not be negative; received ",
            op.max_output);
    return op;
  }
  Specs infer(const Specs& in) const {
    require_boxes(name, "boxes", in[0], 3);
    require_rank(name, "boxes", in[0], 3);
    const Shape rows{in[0].shape[0], in[0].shape[1]};
    require_dtype(name, "scores", in[1], DType::f32);
    require_shape(name, "scores", in[1], rows);
    const TensorSpec& groups = input_or_absent(in, 2);
    if (!groups.absent) {
      require_dtype(name, "groups", groups, DType::i32);
      require_shape(name, "groups", groups, rows);
    }
    require_image_counts(name, input_or_absent(in, 3), rows[0]);
    require_index_range(name, "boxes of an image", rows[1]);
    const int64_t kept = max_output < 0 ? rows[1] : std::min(max_output, rows[1]);
    return {{.dtype = DType::i32, .shape = {rows[0], kept}}, {.dtype = DType::i32, .shape = {rows[0]}}};
  }
};
inline const OpRegistration<Nms> nms_registration;

}  // namespace instaseg
