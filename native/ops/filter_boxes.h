// filterBoxes: indices of the candidates worth keeping, in ascending order, with their classes.
//   boxes f32 [N, ..., 4] and scores f32 [N, ...] of M candidates an image; candidate m has class m % classes
//   indices i32 [N, K], classes i32 [N, K], counts i32 [N]
// A candidate passes when score > scoreThreshold, its class is not the background, and both sides of its box are at
// least minSize (torchvision remove_small_boxes) or, with strictSize, more (detectron2). NaN scores and boxes never
// pass. Where more than K pass, the K best scores stay; equal scores: the lower index.
#pragma once

#include <limits>

#include "ops/box_rules.h"
#include "ops/decision_math.h"

namespace instaseg {

struct FilterBoxes {
  static constexpr const char* name = "filterBoxes";
  static constexpr const char* inputs[] = {"boxes", "scores", "counts?"};

  int64_t classes = 1;
  int64_t background = -1;
  float score_threshold = 0;
  float min_size = 0;
  bool strict_size = false;
  int64_t capacity = -1;

  static FilterBoxes parse(AttributeReader& reader) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    FilterBoxes op;
    op.classes = reader.integer("classes", 1);
    op.background = reader.integer("background", -1);
    op.score_threshold = static_cast<float>(reader.number("scoreThreshold", -infinity));
    op.strict_size = reader.flag("strictSize");
    op.min_size = static_cast<float>(reader.number("minSize", op.strict_size ? 0 : -infinity));
    op.capacity = reader.integer("capacity", -1);
    require(op.classes > 0, ErrorCode::argument, name, ": classes must be positive; received ", op.classes);
    require(op.background >= -1 && op.background < op.classes, ErrorCode::argument, name,
            ": background must be a class or -1; received ", op.background);
    require(op.capacity >= -1, ErrorCode::argument, name, ": capacity must not be negative; received ", op.capacity);
    return op;
  }
  /// Candidates an image.
  static int64_t candidates(const Shape& scores) { return scores.elements(1, scores.rank()); }
  /// Whether candidate m passes, whatever the capacity.
  INSTASEG_DECISION bool passes(const Box& box, float score, int64_t m) const {
    const float w = box.x2 - box.x1;
    const float h = box.y2 - box.y1;
    const bool large = strict_size ? w > min_size && h > min_size : w >= min_size && h >= min_size;
    return score > score_threshold && large && m % classes != background;
  }
  Specs infer(const Specs& in) const {
    require_boxes(name, "boxes", in[0], 3);
    require_dtype(name, "scores", in[1], DType::f32);
    const Shape& boxes = in[0].shape;
    const Shape& scores = in[1].shape;
    require(scores.rank() >= 2 && scores[0] == boxes[0] && boxes.elements(1, boxes.rank() - 1) == candidates(scores),
            ErrorCode::shape, name, ": expected boxes [N, ..., 4] and scores [N, ...] of as many candidates; received ",
            boxes, " and ", scores);
    const int64_t count = candidates(scores);
    require(count % classes == 0, ErrorCode::shape, name, ": ", count, " candidates an image do not divide into ",
            classes, " classes");
    require_index_range(name, "candidates", count);
    require_image_counts(name, input_or_absent(in, 2), boxes[0]);
    const int64_t kept = capacity < 0 ? count : std::min(capacity, count);
    const TensorSpec list{.dtype = DType::i32, .shape = {boxes[0], kept}};
    return {list, list, {.dtype = DType::i32, .shape = {boxes[0]}}};
  }
};
inline const OpRegistration<FilterBoxes> filter_boxes_registration;

}  // namespace instaseg
