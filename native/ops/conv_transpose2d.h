// convTranspose2d: activation(transposed convolution(input, weight) + bias), PyTorch's conv_transpose2d over NHWC.
#pragma once

#include "ops/conv_rules.h"

namespace instaseg {

struct ConvTranspose2d {
  static constexpr const char* name = "convTranspose2d";
  // input [N, H, W, Cin], weight [Cin, Cout / groups, KH, KW], bias [Cout], counts [groups of images].
  static constexpr const char* inputs[] = {"input", "weight", "bias?", "counts?"};
  enum Input { kInput, kWeight, kBias, kCounts };

  Pair stride;
  Pair padding;
  Pair output_padding;
  Pair dilation;
  int64_t groups = 1;
  Activation activation = Activation::none;

  static ConvTranspose2d parse(AttributeReader& reader) {
    ConvTranspose2d op;
    op.stride = reader.pair("stride", {1, 1});
    op.padding = reader.pair("padding", {0, 0});
    op.output_padding = reader.pair("outputPadding", {0, 0});
    op.dilation = reader.pair("dilation", {1, 1});
    op.groups = reader.integer("groups", 1);
    op.activation = parse_activation(reader);
    require_positive(name, "stride", op.stride);
    require_not_negative(name, "padding", op.padding);
    require_not_negative(name, "outputPadding", op.output_padding);
    require_positive(name, "dilation", op.dilation);
    require(op.output_padding.y < std::max(op.stride.y, op.dilation.y) &&
                op.output_padding.x < std::max(op.stride.x, op.dilation.x),
            ErrorCode::argument, name, ": outputPadding must be smaller than stride or dilation; received [",
            op.output_padding.y, ", ", op.output_padding.x, "]");
    require(op.groups > 0, ErrorCode::argument, name, ": groups must be positive; received ", op.groups);
    return op;
  }

  Specs infer(const Specs& in) const {
    require_rank(name, "input", in[kInput], 4);
    require_float(name, "input", in[kInput]);
    require_rank(name, "weight", in[kWeight], 4);
    require_constant_weight(name, in[kWeight]);
    const Shape& x = in[kInput].shape;
    const Shape& w = in[kWeight].shape;
    require(x[3] % groups == 0, ErrorCode::shape, name, ": ", x[3], " input channels cannot be split into ", groups,
            " groups");
    require(w[0] == x[3], ErrorCode::shape, name, ": weight must have ", x[3], " input channels for an input of ", x,
            "; received ", w);
    require(w[2] > 0 && w[3] > 0, ErrorCode::shape, name, ": weight must not be empty; received ", w);
    const int64_t channels = w[1] * groups;
    const Shape output{x[0], output_size(x[1], w[2], stride.y, padding.y, dilation.y, output_padding.y),
                       output_size(x[2], w[3], stride.x, padding.x, dilation.x, output_padding.x), channels};
    require_per_channel(name, "bias", in[kBias], channels);
    require_counts(name, in[kCounts], x[0]);
    return {{.dtype = in[kInput].dtype, .shape = output}};
  }

  double flops(const Specs& in, const Specs&) const {
    return 2.0 * static_cast<double>(in[kInput].shape.elements()) *
           static_cast<double>(in[kWeight].shape.elements(1, 4));
  }

 private:
  static int64_t output_size(int64_t input, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
                             int64_t output_padding) {
    const int64_t size = (input - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1;
    require(size > 0, ErrorCode::shape, name, ": an input of size ", input, " with padding ", padding,
            " leaves no output (size ", size, ")");
    return size;
  }
};
inline const OpRegistration<ConvTranspose2d> conv_transpose2d_registration;

}  // namespace instaseg
