// conv2d: activation(convolution(input, weight) * scale + bias + residual), PyTorch's conv2d over NHWC.
#pragma once

#include "ops/conv_rules.h"

namespace instaseg {

struct Conv2d : ConvWindow {
  static constexpr const char* name = "conv2d";
  // input [N, H, W, Cin], weight [Cout, Cin / groups, KH, KW], bias and scale [Cout], residual [N, OH, OW, Cout],
  // counts [groups of images].
  static constexpr const char* inputs[] = {"input", "weight", "bias?", "scale?", "residual?", "counts?"};
  enum Input { kInput, kWeight, kBias, kScale, kResidual, kCounts };

  static Conv2d parse(AttributeReader& reader) {
    Conv2d op;
    op.parse_window(name, reader);
    return op;
  }

  Specs infer(const Specs& in) const {
    const Shape output = window_shape(name, in[kInput], in[kWeight]);
    require_epilogue(name, output, in[kInput].dtype, in[kBias], in[kScale], in[kResidual]);
    require_counts(name, in[kCounts], output[0]);
    return {{.dtype = in[kInput].dtype, .shape = output}};
  }

  double flops(const Specs& in, const Specs& out) const { return conv_flops(in[kWeight], out[0]); }
};
inline const OpRegistration<Conv2d> conv2d_registration;

}  // namespace instaseg
