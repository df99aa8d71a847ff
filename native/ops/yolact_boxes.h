// yolactBoxes: relative boxes to whole pixels of the original image (dbolya/yolact box_utils.sanitize_coordinates with
// cast): times the size in f32, truncated toward zero, reversed sides swapped, the lower end clamped at 0 only and the
// upper end at the size only. A box beyond the image so comes out reversed, as there. NaN becomes 0.
//   boxes  f32 [N, D, 4] (x1, y1, x2, y2), sizes i32 [N, 4] (original height and width come first)
//   output i32 [N, D, 4]
#pragma once

#include "ops/box_rules.h"
#include "ops/decision_math.h"

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
  /// One side of a box in an image of `size` pixels.
  INSTASEG_DECISION void place(float a, float b, int32_t size, int32_t& low, int32_t& high) const {
    const int64_t limit = size > 0 ? size : 0;
    const int64_t first = truncated(a * static_cast<float>(limit));
    const int64_t second = truncated(b * static_cast<float>(limit));
    const int64_t begin = (first < second ? first : second) - padding;
    const int64_t end = (first < second ? second : first) + padding;
    low = static_cast<int32_t>(begin > 0 ? begin : 0);
    high = static_cast<int32_t>(end < limit ? end : limit);
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

 private:
  // The padding cannot overflow what is left of the range.
  static INSTASEG_DECISION int64_t truncated(float x) {
    constexpr float kLimit = 1 << 30;
    if (x != x) return 0;
    return static_cast<int64_t>(x < -kLimit ? -kLimit : (x > kLimit ? kLimit : x));
  }
};
inline const OpRegistration<YolactBoxes> yolact_boxes_registration;

}  // namespace instaseg
