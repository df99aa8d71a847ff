// yolactBoxes: relative boxes to whole pixels of the original image (dbolya/yolact box_utils.sanitize_coordinates with
// cast): times the size in f32, truncated toward zero, reversed sides swapped, the lower end clamped at 0 only and the
// upper end at the size only. A box beyond the image so comes out reversed, as there. NaN becomes 0.
//   boxes  f32 [N, D, 4] (x1, y1, x2, y2), sizes i32 [N, 4] (original height and width come first)
//   output i32 [N, D, 4]
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct YolactBoxes {
  static constexpr const char* name = "yolactBoxes";
  static constexpr const char* inputs[] = {"boxes", "sizes", "counts?"};

  /// Pixels added on either side, before the clamps.
  int64_t padding = 0;

  static YolactBoxes parse(AttributeReader& reader) {
    const YolactBoxes op{.padding = reader.integer("padding", 0)};
    require(op.padding >= 0 && op.padding < (1 << 20), ErrorCode::argument, name,
            ": padding must not be negative; received ", op.padding);
    return op;
  }
  Specs infer(const Specs& in) const {
    require_boxes(name, "boxes", in[0], 3);
    require_rank(name, "boxes", in[0], 3);
    const Shape& boxes = in[0].shape;
    require_dtype(name, "sizes", in[1], DType::i32);
    require_shape(name, "sizes", in[1], {boxes[0], 4});
    require_image_counts(name, input_or_absent(in, 2), boxes[0]);
    return {{.dtype = DType::i32, .shape = boxes}};
  }
};
inline const OpRegistration<YolactBoxes> yolact_boxes_registration;

}  // namespace instaseg
