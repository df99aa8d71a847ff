// selectCandidates: the rows of class scores worth looking at, in ascending order: those whose best foreground score is
// above the threshold (the first step of dbolya/yolact Detect.detect).
//   scores  f32 [N, M, C] with C >= 2, the background being class 0
//   indices i32 [N, K], counts i32 [N]
// A row with a NaN foreground score never passes. Where more than K pass, the K best scores stay; equal ones: the lower
// index.
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct SelectCandidates {
  static constexpr const char* name = "selectCandidates";
  static constexpr const char* inputs[] = {"scores"};

  float threshold = 0;
  int64_t capacity = -1;

  static SelectCandidates parse(AttributeReader& reader) {
    SelectCandidates op;
    op.threshold = static_cast<float>(reader.number("threshold"));
    op.capacity = reader.integer("capacity", -1);
    require(op.capacity >= -1, ErrorCode::argument, name, ": capacity must not be negative; received ", op.capacity);
    return op;
  }
  Specs infer(const Specs& in) const {
    require_dtype(name, "scores", in[0], DType::f32);
    require_rank(name, "scores", in[0], 3);
    const Shape& scores = in[0].shape;
    require(scores[2] >= 2, ErrorCode::shape, name,
            ": scores must have the background and at least one class; received ", scores);
    require_index_range(name, "rows of an image", scores[1]);
    const int64_t kept = capacity < 0 ? scores[1] : std::min(capacity, scores[1]);
    return {{.dtype = DType::i32, .shape = {scores[0], kept}}, {.dtype = DType::i32, .shape = {scores[0]}}};
  }
};
inline const OpRegistration<SelectCandidates> select_candidates_registration;

}  // namespace instaseg
