// tanh: the hyperbolic tangent of every element, NaN stays NaN.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct Tanh {
  static constexpr const char* name = "tanh";
  static constexpr const char* inputs[] = {"input"};
  static Tanh parse(AttributeReader&) { return {}; }
  Specs infer(const Specs& in) const {
    require_float(name, "input", in[0]);
    return {{.dtype = in[0].dtype, .shape = in[0].shape}};
  }
  double flops(const Specs& in, const Specs&) const { return 20.0 * static_cast<double>(in[0].shape.elements()); }
};
inline const OpRegistration<Tanh> tanh_registration;

}  // namespace instaseg
