// selectChannel: the channel that each row's label names: f32, f16 or bf16 [R, H, W, C] and labels i32 [R] (or [N, K],
// R = N * K) to f32 [R, H, W], optionally through a sigmoid: what is selected are probabilities and scores, which
// decide. A label outside [0, C) is ERR_ARGUMENT when the op runs.
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct SelectChannel {
  static constexpr const char* name = "selectChannel";
  static constexpr const char* inputs[] = {"input", "labels", "counts?"};

  bool sigmoid = false;

  static SelectChannel parse(AttributeReader& reader) {
    return {.sigmoid = reader.choice("activation", {"none", "sigmoid"}) == 1};
  }
  Specs infer(const Specs& in) const {
    require_float(name, "input", in[0]);
    require_rank(name, "input", in[0], 4);
    require_dtype(name, "labels", in[1], DType::i32);
    const Shape& input = in[0].shape;
    const Shape& labels = in[1].shape;
    require((labels.rank() == 1 || labels.rank() == 2) && labels.elements() == input[0], ErrorCode::shape, name,
            ": labels must be [R] or [N, K] for the ", input[0], " rows of the input; received ", labels);
    require_counts(name, input_or_absent(in, 2), input[0]);
    return {{.dtype = DType::f32, .shape = {input[0], input[1], input[2]}}};
  }
};
inline const OpRegistration<SelectChannel> select_channel_registration;

}  // namespace instaseg
