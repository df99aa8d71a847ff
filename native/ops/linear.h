// linear: activation(input x weight^T + bias), PyTorch's linear over rows.
#pragma once

#include "ops/conv_rules.h"

namespace instaseg {

struct Linear {
  static constexpr const char* name = "linear";
  // input [R, K], weight [M, K], bias [M], counts [groups of rows].
  static constexpr const char* inputs[] = {"input", "weight", "bias?", "counts?"};
  enum Input { kInput, kWeight, kBias, kCounts };

  Activation activation = Activation::none;

  static Linear parse(AttributeReader& reader) { return {.activation = parse_activation(reader)}; }

  Specs infer(const Specs& in) const {
    require_rank(name, "input", in[kInput], 2);
    require_float(name, "input", in[kInput]);
    require_rank(name, "weight", in[kWeight], 2);
    require_constant_weight(name, in[kWeight]);
    const Shape& x = in[kInput].shape;
    const Shape& w = in[kWeight].shape;
    require(w[1] == x[1], ErrorCode::shape, name, ": weight must have ", x[1], " columns for an input of ", x,
            "; received ", w);
    require_per_channel(name, "bias", in[kBias], w[0]);
    require_counts(name, in[kCounts], x[0]);
    return {{.dtype = in[kInput].dtype, .shape = {x[0], w[0]}}};
  }

  double flops(const Specs& in, const Specs& out) const {
    return 2.0 * static_cast<double>(out[0].shape.elements()) * static_cast<double>(in[kInput].shape[1]);
  }
};
inline const OpRegistration<Linear> linear_registration;

}  // namespace instaseg
