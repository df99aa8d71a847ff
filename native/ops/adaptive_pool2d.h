// adaptivePool2d over NHWC as torch.nn.functional.adaptive_avg_pool2d / adaptive_max_pool2d: output cell i of `output`
// cells covers floor(i * size / output) to ceil((i + 1) * size / output).
#pragma once

#include "ops/box_rules.h"
#include "ops/decision_math.h"

namespace instaseg {

struct AdaptivePool2d {
  Pair output;
  bool max = false;

  static constexpr const char* name = "adaptivePool2d";
  static constexpr const char* inputs[] = {"input", "counts?"};
  static AdaptivePool2d parse(AttributeReader& reader) {
    const AdaptivePool2d op{.output = reader.pair("output"), .max = reader.choice("kind", {"avg", "max"}) == 1};
    require_positive(name, "output", op.output);
    return op;
  }
  Specs infer(const Specs& in) const {
    require_float(name, "input", in[0]);
    require_rank(name, "input", in[0], 4);
    const Shape& shape = in[0].shape;
    require(shape[1] > 0 && shape[2] > 0, ErrorCode::shape, name, ": height and width must be positive; received ",
            shape);
    require_counts(name, input_or_absent(in, 1), shape[0]);
    return {{.dtype = in[0].dtype, .shape = {shape[0], output.y, output.x, shape[3]}}};
  }

  /// Pixels of one axis.
  struct Range {
    int64_t begin, end;
  };
  /// What cell i of `output` covers of `input` pixels.
  INSTASEG_DECISION static Range cell(int64_t i, int64_t input, int64_t output) {
    return {i * input / output, ((i + 1) * input + output - 1) / output};
  }
  double flops(const Specs& in, const Specs&) const { return static_cast<double>(in[0].shape.elements()); }
};
inline const OpRegistration<AdaptivePool2d> adaptive_pool2d_registration;

}  // namespace instaseg
