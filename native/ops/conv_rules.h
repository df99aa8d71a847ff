// What the convolutions and linear share: the activation at the end, checks of weights, and the window of a
// convolution.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

/// What the convolutions and linear apply last.
enum class Activation { none, relu, sigmoid, tanh };

inline Activation parse_activation(AttributeReader& reader) {
  return static_cast<Activation>(reader.choice("activation", {"none", "relu", "sigmoid", "tanh"}));
}

/// Weights are rearranged when a plan is compiled, so a tensor that is computed by the plan cannot be one.
inline void require_constant_weight(const char* op, const TensorSpec& weight) {
  require(weight.constant, ErrorCode::argument, op,
          ": weight must be constant; received a tensor that the plan computes");
  require_dtype(op, "weight", weight, DType::f32);
}

inline void require_per_channel(const char* op, const char* input, const TensorSpec& spec, int64_t channels) {
  if (spec.absent) return;
  require_dtype(op, input, spec, DType::f32);
  require_shape(op, input, spec, {channels});
}

/// Attributes and shape rule of a window that slides over an input: conv2d and deformConv2d.
struct ConvWindow {
  Pair stride;
  Pair padding;
  Pair dilation;
  int64_t groups = 1;
  Activation activation = Activation::none;

  void parse_window(const char* op, AttributeReader& reader) {
    stride = reader.pair("stride", {1, 1});
    padding = reader.pair("padding", {0, 0});
    dilation = reader.pair("dilation", {1, 1});
    groups = reader.integer("groups", 1);
    activation = parse_activation(reader);
    require_positive(op, "stride", stride);
    require_not_negative(op, "padding", padding);
    require_positive(op, "dilation", dilation);
    require(groups > 0, ErrorCode::argument, op, ": groups must be positive; received ", groups);
  }

  /// Output shape for `input` [N, H, W, Cin] and `weight` [Cout, Cin / groups, KH, KW], constant.
  Shape window_shape(const char* op, const TensorSpec& input, const TensorSpec& weight) const {
    require_rank(op, "input", input, 4);
    require_float(op, "input", input);
    require_rank(op, "weight", weight, 4);
    require_constant_weight(op, weight);
    const Shape& x = input.shape;
    const Shape& w = weight.shape;
    require(x[3] % groups == 0 && w[0] % groups == 0, ErrorCode::shape, op, ": ", x[3], " input and ", w[0],
            " output channels cannot be split into ", groups, " groups");
    require(w[1] == x[3] / groups, ErrorCode::shape, op, ": weight must have ", x[3] / groups,
            " input channels a group for an input of ", x, " and groups ", groups, "; received ", w);
    require(w[2] > 0 && w[3] > 0, ErrorCode::shape, op, ": weight must not be empty; received ", w);
    return {x[0], window_output(op, x[1], w[2], stride.y, padding.y, dilation.y),
            window_output(op, x[2], w[3], stride.x, padding.x, dilation.x), w[0]};
  }
};

/// The optional inputs of an epilogue: bias and scale [C], residual of the output's shape and dtype.
inline void require_epilogue(const char* op, const Shape& output, DType dtype, const TensorSpec& bias,
                             const TensorSpec& scale, const TensorSpec& residual) {
  require_per_channel(op, "bias", bias, output.back());
  require_per_channel(op, "scale", scale, output.back());
  if (residual.absent) return;
  require_dtype(op, "residual", residual, dtype);
  require_shape(op, "residual", residual, output);
}

/// Two a multiply-add.
inline double conv_flops(const TensorSpec& weight, const TensorSpec& output) {
  return 2.0 * static_cast<double>(output.shape.elements()) * static_cast<double>(weight.shape.elements(1, 4));
}

}  // namespace instaseg
