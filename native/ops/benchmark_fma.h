// benchmarkFma: `length` dependent fused multiply-adds of every element, x = x * factor + addend: what the arithmetic
// units of a device can do at most. Not part of any network; `instaseg bench` measures ceilings with it.
//
// input f32 [C] -> f32 [C]. Kernels for instruction sets without a fused form round twice a step.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct BenchmarkFma {
  static constexpr const char* name = "benchmarkFma";
  static constexpr const char* inputs[] = {"input"};

  int64_t length = 1;
  float factor = 1;
  float addend = 0;

  static BenchmarkFma parse(AttributeReader& reader) {
    BenchmarkFma op{.length = reader.integer("length"),
                    .factor = static_cast<float>(reader.number("factor", 1)),
                    .addend = static_cast<float>(reader.number("addend", 0))};
    require(op.length >= 0, ErrorCode::argument, name, ": length must not be negative; received ", op.length);
    return op;
  }
  Specs infer(const Specs& in) const {
    require_dtype(name, "input", in[0], DType::f32);
    require_rank(name, "input", in[0], 1);
    return {{.dtype = DType::f32, .shape = in[0].shape}};
  }
  double flops(const Specs& in, const Specs&) const {
    return 2.0 * static_cast<double>(length) * static_cast<double>(in[0].shape.elements());
  }
};
inline const OpRegistration<BenchmarkFma> benchmark_fma_registration;

}  // namespace instaseg
