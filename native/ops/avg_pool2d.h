// avgPool2d over NHWC as torch.nn.functional.avg_pool2d.
#pragma once

#include "ops/pool_rules.h"

namespace instaseg {

struct AvgPool2d {
  PoolWindow window;
  bool count_include_pad = true;
  /// Divides every sum by this number instead of the count, unless 0.
  int64_t divisor = 0;

  static constexpr const char* name = "avgPool2d";
  static constexpr const char* inputs[] = {"input"};
  static AvgPool2d parse(AttributeReader& reader) {
    const AvgPool2d op{.window = PoolWindow::parse(name, reader, false),
                       .count_include_pad = reader.flag("countIncludePad", true),
                       .divisor = reader.integer("divisor", 0)};
    require(op.divisor >= 0, ErrorCode::argument, name, ": divisor must not be negative; received ", op.divisor);
    return op;
  }
  Specs infer(const Specs& in) const { return {{.dtype = in[0].dtype, .shape = window.output(name, in[0])}}; }
  double flops(const Specs&, const Specs& out) const {
    return static_cast<double>(out[0].shape.elements()) * static_cast<double>(window.kernel.y * window.kernel.x);
  }
};
inline const OpRegistration<AvgPool2d> avg_pool2d_registration;

}  // namespace instaseg
