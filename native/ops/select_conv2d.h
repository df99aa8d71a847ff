// selectConv2d: the output channel of a 1x1 convolution that each row's label names: f32, f16 or bf16 [R, H, W, Cin],
// weight f32 [Cout, Cin, 1, 1], constant, labels i32 [R] (or [N, K], R = N * K) to f32 [R, H, W], optionally through a
// sigmoid. What conv2d and selectChannel give, with one of Cout products computed: the masks of the detected classes.
// A label outside [0, Cout) is ERR_ARGUMENT when the op runs.
#pragma once

#include "ops/box_rules.h"
#include "ops/conv_rules.h"

namespace instaseg {

struct SelectConv2d {
  static constexpr const char* name = "selectConv2d";
  static constexpr const char* inputs[] = {"input", "weight", "labels", "bias?", "counts?"};
  enum Input { kInput, kWeight, kLabels, kBias, kCounts };

  bool sigmoid = false;

  static SelectConv2d parse(AttributeReader& reader) {
    return {.sigmoid = reader.choice("activation", {"none", "sigmoid"}) == 1};
  }
  Specs infer(const Specs& in) const {
    require_float(name, "input", in[kInput]);
    require_rank(name, "input", in[kInput], 4);
    require_constant_weight(name, in[kWeight]);
    const Shape& x = in[kInput].shape;
    const Shape& w = in[kWeight].shape;
    require(w.rank() == 4 && w[1] == x[3] && w[2] == 1 && w[3] == 1, ErrorCode::shape, name, ": weight must be [Cout, ",
            x[3], ", 1, 1] for an input of ", x, "; received ", w);
    require_dtype(name, "labels", in[kLabels], DType::i32);
    const Shape& labels = in[kLabels].shape;
    require((labels.rank() == 1 || labels.rank() == 2) && labels.elements() == x[0], ErrorCode::shape, name,
            ": labels must be [R] or [N, K] for the ", x[0], " rows of the input; received ", labels);
    require_per_channel(name, "bias", input_or_absent(in, kBias), w[0]);
    require_counts(name, input_or_absent(in, kCounts), x[0]);
    return {{.dtype = DType::f32, .shape = {x[0], x[1], x[2]}}};
  }
  double flops(const Specs& in, const Specs& out) const {
    return 2.0 * static_cast<double>(out[0].shape.elements()) * static_cast<double>(in[kInput].shape[3]);
  }
};
inline const OpRegistration<SelectConv2d> select_conv2d_registration;

}  // namespace instaseg
