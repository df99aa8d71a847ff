// add: a + b of equal shapes, then an optional relu (residual connections, FPN sums).
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct Add {
  bool relu = false;

  static constexpr const char* name = "add";
  static constexpr const char* inputs[] = {"a", "b"};
  static Add parse(AttributeReader& reader) { return {.relu = reader.choice("activation", {"none", "relu"}) == 1}; }
  Specs infer(const Specs& in) const {
    require_float(name, "a", in[0]);
    require_dtype(name, "b", in[1], in[0].dtype);
    require_shape(name, "b", in[1], in[0].shape);
    return {{.dtype = in[0].dtype, .shape = in[0].shape}};
  }
  double flops(const Specs& in, const Specs&) const { return static_cast<double>(in[0].shape.elements()); }
};
inline const OpRegistration<Add> add_registration;

}  // namespace instaseg
