// fastNms: YOLACT's selection of detections among candidates with a score for every class (dbolya/yolact Detect).
//   boxes  f32 [N, K, 4] (relative x1, y1, x2, y2), scores f32 [N, K, C], counts i32 [N]
//   indices i32 [N, O] (candidates), classes i32 [N, O], scores f32 [N, O], counts i32 [N]
// Kinds:
//   fast         a list a class: its topK best scores; a box is dropped when its IoU with any box before it in the list
//                is above the threshold, dropped or not. The best maxOutput of all classes.
//                O = min(maxOutput, C * min(topK, K))
//   cross-class  the same on one list of all candidates with their best class; all that are left.
//                O = min(topK, K)
//   traditional  greedy suppression a class, boxes times maxSize, sides + 1, IoU >= threshold. The best maxOutput.
//                O = min(maxOutput, C * K)
// All results have score > scoreThreshold (f32) and are ordered by score descending, then candidate, then class. A NaN
// score is never kept (cross-class: nor is a candidate that has one), a NaN IoU does not suppress.
#pragma once

#include <limits>

#include "ops/box_rules.h"

namespace instaseg {

struct FastNms {
  enum Kind { fast, cross_class, traditional };

  static constexpr const char* name = "fastNms";
  static constexpr const char* inputs[] = {"boxes", "scores", "counts?"};

  Kind kind = fast;
  float iou_threshold = 0;
  float score_threshold = 0;
  int64_t top_k = 0;
  int64_t max_output = 0;
  float max_size = 0;
  /// Class 0 of the scores is the background and left out; classes count from the one behind it.
  bool background = false;

  static FastNms parse(AttributeReader& reader) {
    FastNms op;
    op.kind = static_cast<Kind>(reader.choice("kind", {"fast", "cross-class", "traditional"}));
    op.iou_threshold = static_cast<float>(reader.number("iouThreshold"));
    op.score_threshold = static_cast<float>(reader.number("scoreThreshold", -std::numeric_limits<double>::infinity()));
    op.top_k = reader.integer("topK", 200);
    op.max_output = reader.integer("maxOutput", 100);
    op.max_size = static_cast<float>(reader.number("maxSize", 550));
    op.background = reader.flag("background");
    require(op.iou_threshold > 0, ErrorCode::argument, name, ": iouThreshold must be positive; received ",
            op.iou_threshold);
    require(op.top_k >= 0 && op.max_output >= 0, ErrorCode::argument, name,
            ": topK and maxOutput must not be negative; received ", op.top_k, " and ", op.max_output);
    require(op.max_size > 0 && std::isfinite(op.max_size), ErrorCode::argument, name,
            ": maxSize must be positive; received ", op.max_size);
    return op;
  }
  int64_t classes(const Shape& scores) const { return scores[2] - (background ? 1 : 0); }
  /// The most boxes in a list.
  int64_t list_length(int64_t candidates) const {
    return kind == traditional ? candidates : std::min(top_k, candidates);
  }

  Specs infer(const Specs& in) const {
    require_boxes(name, "boxes", in[0], 3);
    require_rank(name, "boxes", in[0], 3);
    const int64_t images = in[0].shape[0];
    const int64_t candidates = in[0].shape[1];
    require_dtype(name, "scores", in[1], DType::f32);
    require_rank(name, "scores", in[1], 3);
    const Shape& scores = in[1].shape;
    require(scores[0] == images && scores[1] == candidates && classes(scores) > 0, ErrorCode::shape, name,
            ": scores must be [", images, ", ", candidates, ", classes]; received ", scores);
    require_image_counts(name, input_or_absent(in, 2), images);
    const int64_t pairs = Shape{candidates, scores[2]}.elements();
    require_index_range(name, "candidates times classes", pairs);
    const int64_t length = list_length(candidates);
    const int64_t kept = kind == cross_class ? length : std::min(max_output, length * classes(scores));
    const TensorSpec list{.dtype = DType::i32, .shape = {images, kept}};
    return {list, list, {.dtype = DType::f32, .shape = list.shape}, {.dtype = DType::i32, .shape = {images}}};
  }
};
inline const OpRegistration<FastNms> fast_nms_registration;

}  // namespace instaseg
