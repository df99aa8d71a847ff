// batchNorm in inference mode over the last axis: (x - mean) / sqrt(variance + epsilon) * weight + bias.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct BatchNorm {
  double epsilon = 1e-5;

  static constexpr const char* name = "batchNorm";
  static constexpr const char* inputs[] = {"input", "weight?", "bias?", "mean", "variance", "counts?"};
  static BatchNorm parse(AttributeReader& reader) {
    const double epsilon = reader.number("epsilon", 1e-5);
    require(epsilon >= 0, ErrorCode::argument, name, ": epsilon must not be negative; received ", epsilon);
    return {.epsilon = epsilon};
  }
  Specs infer(const Specs& in) const {
    require_float(name, "input", in[0]);
    require(in[0].shape.rank() >= 2, ErrorCode::shape, name, ": input must have 2 dimensions or more; received ",
            in[0].shape);
    static constexpr const char* names[] = {"input", "weight", "bias", "mean", "variance"};
    for (size_t i = 1; i < 5; ++i) {
      if (in[i].absent) continue;
      require_dtype(name, names[i], in[i], DType::f32);
      require_shape(name, names[i], in[i], {in[0].shape.back()});
    }
    require_counts(name, in[5], in[0].shape[0]);
    return {{.dtype = in[0].dtype, .shape = in[0].shape}};
  }
  double flops(const Specs& in, const Specs&) const { return 2.0 * static_cast<double>(in[0].shape.elements()); }
};
inline const OpRegistration<BatchNorm> batch_norm_registration;

}  // namespace instaseg
