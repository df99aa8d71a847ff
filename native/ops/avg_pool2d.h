// avgPool2d over NHWC as torch.nn.functional.avg_pool2d.
#pragma once

#include <algorithm>

#include "ops/decision_math.h"
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
  /// What the sum over the window that begins at `begin` is divided by, in an input of size `input`. In ceil mode a
  /// window may pass the padding after the input; what lies beyond the padding never counts.
  INSTASEG_DECISION int64_t divisor_of(Pair input, Pair begin) const {
    if (divisor) return divisor;
    const Pair pad = count_include_pad ? window.padding : Pair{0, 0};
    const int64_t rows = std::min(begin.y + window.kernel.y, input.y + pad.y) - std::max(begin.y, -pad.y);
    const int64_t columns = std::min(begin.x + window.kernel.x, input.x + pad.x) - std::max(begin.x, -pad.x);
    return rows * columns;
  }
  double flops(const Specs&, const Specs& out) const {
    return static_cast<double>(out[0].shape.elements()) * static_cast<double>(window.kernel.y * window.kernel.x);
  }
};
inline const OpRegistration<AvgPool2d> avg_pool2d_registration;

}  // namespace instaseg
