// maxPool2d over NHWC as torch.nn.functional.max_pool2d: padding never wins, the first maximum wins, NaN wins over
// numbers. With `indices` a second output holds the flat position y * W + x of each maximum.
#pragma once

#include "ops/pool_rules.h"

namespace instaseg {

struct MaxPool2d {
  PoolWindow window;
  bool indices = false;

  static constexpr const char* name = "maxPool2d";
  static constexpr const char* inputs[] = {"input"};
  static MaxPool2d parse(AttributeReader& reader) {
    return {.window = PoolWindow::parse(name, reader, true), .indices = reader.flag("indices")};
  }
  Specs infer(const Specs& in) const {
    const Shape shape = window.output(name, in[0]);
    Specs outputs = {{.dtype = in[0].dtype, .shape = shape}};
    if (indices) {
      require(in[0].shape.elements(1, 3) <= INT32_MAX, ErrorCode::shape, name, ": positions in ", in[0].shape,
              " do not fit 32 bits");
      outputs.push_back({.dtype = DType::i32, .shape = shape});
    }
    return outputs;
  }
  double flops(const Specs&, const Specs& out) const {
    return static_cast<double>(out[0].shape.elements()) * static_cast<double>(window.kernel.y * window.kernel.x);
  }
};
inline const OpRegistration<MaxPool2d> max_pool2d_registration;

}  // namespace instaseg
