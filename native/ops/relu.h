// relu: max(x, 0), NaN stays NaN.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct Relu {
  static constexpr const char* name = "relu";
  static constexpr const char* inputs[] = {"input"};
  static Relu parse(AttributeReader&) { return {}; }
  Specs infer(const Specs& in) const { return {{.dtype = in[0].dtype, .shape = in[0].shape}}; }
  double flops(const Specs& in, const Specs&) const { return static_cast<double>(in[0].shape.elements()); }
};
inline const OpRegistration<Relu> relu_registration;

}  // namespace instaseg
