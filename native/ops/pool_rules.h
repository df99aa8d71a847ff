// Sliding windows as PyTorch's pooling defines them.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct PoolWindow {
  Pair kernel;
  Pair stride;
  Pair padding{0, 0};
  Pair dilation{1, 1};
  bool ceil_mode = false;

  static PoolWindow parse(const char* op, AttributeReader& reader, bool with_dilation) {
    PoolWindow window;
    window.kernel = reader.pair("kernel");
    window.stride = reader.pair("stride", window.kernel);
    window.padding = reader.pair("padding", {0, 0});
    if (with_dilation) window.dilation = reader.pair("dilation", {1, 1});
    window.ceil_mode = reader.flag("ceilMode");
    require_positive(op, "kernel", window.kernel);
    require_positive(op, "stride", window.stride);
    require_not_negative(op, "padding", window.padding);
    require_positive(op, "dilation", window.dilation);
    // More padding would give windows that hold no element at all.
    const Pair& k = window.kernel;
    const Pair& d = window.dilation;
    require(2 * window.padding.y <= d.y * (k.y - 1) + 1 && 2 * window.padding.x <= d.x * (k.x - 1) + 1,
            ErrorCode::argument, op, ": padding must be at most half of the window; received [", window.padding.y, ", ",
            window.padding.x, "]");
    return window;
  }

  /// [N, OH, OW, C] of an input [N, H, W, C].
  Shape output(const char* op, const TensorSpec& input) const {
    require_float(op, "input", input);
    require_rank(op, "input", input, 4);
    const Shape& shape = input.shape;
    return {shape[0], size(op, shape[1], kernel.y, stride.y, padding.y, dilation.y),
            size(op, shape[2], kernel.x, stride.x, padding.x, dilation.x), shape[3]};
  }

 private:
  int64_t size(const char* op, int64_t input, int64_t k, int64_t s, int64_t p, int64_t d) const {
    const int64_t slack = input + 2 * p - d * (k - 1) - 1 + (ceil_mode ? s - 1 : 0);
    require(input > 0 && slack >= 0, ErrorCode::shape, op, ": a window of ", d * (k - 1) + 1, " does not fit the size ",
            input, " with padding ", p);
    const int64_t count = slack / s + 1;
    // In ceil mode a last window that would begin in the padding after the input is dropped.
    return ceil_mode && (count - 1) * s >= input + p ? count - 1 : count;
  }
};

}  // namespace instaseg
