// relu: max(x, 0), or with a negative slope x * slope below 0 (leaky ReLU); NaN stays NaN.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct Relu {
  static constexpr const char* name = "relu";
  static constexpr const char* inputs[] = {"input"};

  float negative_slope = 0;

  static Relu parse(AttributeReader& reader) { return {static_cast<float>(reader.number("negativeSlope", 0))}; }
  Specs infer(const Specs& in) const {
    require_float(name, "input", in[0]);
    return {{.dtype = in[0].dtype, .shape = in[0].shape}};
  }
  double flops(const Specs& in, const Specs&) const { return static_cast<double>(in[0].shape.elements()); }
};
inline const OpRegistration<Relu> relu_registration;

}  // namespace instaseg
