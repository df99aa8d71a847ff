// multiply: a * b of equal shapes (YOLACT++'s class score times mask IoU).
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct Multiply {
  static constexpr const char* name = "multiply";
  static constexpr const char* inputs[] = {"a", "b"};
  static Multiply parse(AttributeReader&) { return {}; }
  Specs infer(const Specs& in) const {
    require_float(name, "a", in[0]);
    require_dtype(name, "b", in[1], in[0].dtype);
    require_shape(name, "b", in[1], in[0].shape);
    return {{.dtype = in[0].dtype, .shape = in[0].shape}};
  }
  double flops(const Specs& in, const Specs&) const { return static_cast<double>(in[0].shape.elements()); }
};
inline const OpRegistration<Multiply> multiply_registration;

}  // namespace instaseg
