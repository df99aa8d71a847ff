// conv2d: activation(convolution(input, weight) * scale + bias + residual), PyTorch's conv2d over NHWC.
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

struct Conv2d {
  static constexpr const char* name = "conv2d";
  // input [N, H, W, Cin], weight [Cout, Cin / groups, KH, KW], bias and scale [Cout], residual [N, OH, OW, Cout],
  // counts [groups of images].
  static constexpr const char* inputs[] = {"input", "weight", "bias?", "scale?", "residual?", "counts?"};
  enum Input { kInput, kWeight, kBias, kScale, kResidual, kCounts };

  Pair stride;
  Pair padding;
  Pair dilation;
  int64_t groups = 1;
  Activation activation = Activation::none;

  static Conv2d parse(AttributeReader& reader) {
    Conv2d op;
    op.stride = reader.pair("stride", {1, 1});
    op.padding = reader.pair("padding", {0, 0});
    op.dilation = reader.pair("dilation", {1, 1});
    op.groups = reader.integer("groups", 1);
    op.activation = parse_activation(reader);
    require_positive(name, "stride", op.stride);
    require_not_negative(name, "padding", op.padding);
    require_positive(name, "dilation", op.dilation);
    require(op.groups > 0, ErrorCode::argument, name, ": groups must be positive; received ", op.groups);
    return op;
  }

  Specs infer(const Specs& in) const {
    require_rank(name, "input", in[kInput], 4);
    require_rank(name, "weight", in[kWeight], 4);
    require_constant_weight(name, in[kWeight]);
    const Shape& x = in[kInput].shape;
    const Shape& w = in[kWeight].shape;
    require(x[3] % groups == 0 && w[0] % groups == 0, ErrorCode::shape, name, ": ", x[3], " input and ", w[0],
            " output channels cannot be split into ", groups, " groups");
    require(w[1] == x[3] / groups, ErrorCode::shape, name, ": weight must have ", x[3] / groups,
            " input channels a group for an input of ", x, " and groups ", groups, "; received ", w);
    require(w[2] > 0 && w[3] > 0, ErrorCode::shape, name, ": weight must not be empty; received ", w);
    const Shape output{x[0], window_output(name, x[1], w[2], stride.y, padding.y, dilation.y),
                       window_output(name, x[2], w[3], stride.x, padding.x, dilation.x), w[0]};
    require_per_channel(name, "bias", in[kBias], w[0]);
    require_per_channel(name, "scale", in[kScale], w[0]);
    if (!in[kResidual].absent) {
      require_dtype(name, "residual", in[kResidual], in[kInput].dtype);
      require_shape(name, "residual", in[kResidual], output);
    }
    require_counts(name, in[kCounts], x[0]);
    return {{.dtype = in[kInput].dtype, .shape = output}};
  }

  double flops(const Specs& in, const Specs& out) const {
    return 2.0 * static_cast<double>(out[0].shape.elements()) * static_cast<double>(in[kWeight].shape.elements(1, 4));
  }
};
inline const OpRegistration<Conv2d> conv2d_registration;

}  // namespace instaseg
