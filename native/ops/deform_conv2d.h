// deformConv2d: activation(deform_conv(input, weight, offset, mask) * scale + bias + residual), torchvision's
// deform_conv2d over NHWC (Dai et al., "Deformable convolutional networks"; with a mask Zhu et al., "Deformable
// ConvNets v2").
#pragma once

#include "ops/conv_rules.h"

namespace instaseg {

struct DeformConv2d : ConvWindow {
  static constexpr const char* name = "deformConv2d";
  // input [N, H, W, Cin], weight [Cout, Cin / groups, KH, KW], bias and scale [Cout], residual [N, OH, OW, Cout].
  // With K = KH * KW taps and G offset groups (G = channels of offset / 2K): offset [N, OH, OW, G * K * 2], (dy, dx)
  // for each tap of each offset group, and mask [N, OH, OW, G * K]. With packedMask, offset is [N, OH, OW, 3 * G * K]:
  // all offsets, then all masks (what one convolution computes for DCNv2), and mask is absent.
  static constexpr const char* inputs[] = {"input", "weight", "offset", "mask?", "bias?", "scale?", "residual?"};
  enum Input { kInput, kWeight, kOffset, kMask, kBias, kScale, kResidual };

  bool packed_mask = false;
  /// Masks arrive as logits.
  bool sigmoid_mask = false;

  static DeformConv2d parse(AttributeReader& reader) {
    DeformConv2d op;
    op.parse_window(name, reader);
    op.packed_mask = reader.flag("packedMask");
    op.sigmoid_mask = reader.choice("maskActivation", {"none", "sigmoid"}) == 1;
    return op;
  }

  /// Channels of `offset` for one offset group.
  int64_t offset_channels(const Shape& weight) const { return (packed_mask ? 3 : 2) * weight[2] * weight[3]; }
  int64_t offset_groups(const Shape& weight, const Shape& offset) const { return offset[3] / offset_channels(weight); }

  Specs infer(const Specs& in) const {
    const Shape output = window_shape(name, in[kInput], in[kWeight]);
    require_sampling(in, output);
    require_epilogue(name, output, in[kInput].dtype, in[kBias], in[kScale], in[kResidual]);
    return {{.dtype = in[kInput].dtype, .shape = output}};
  }

  double flops(const Specs& in, const Specs& out) const { return conv_flops(in[kWeight], out[0]); }

 private:
  void require_sampling(const Specs& in, const Shape& output) const {
    const Shape& w = in[kWeight].shape;
    const Shape& offset = in[kOffset].shape;
    const int64_t channels = offset_channels(w);
    require_dtype(name, "offset", in[kOffset], DType::f32);
    require(offset.rank() == 4 && offset[0] == output[0] && offset[1] == output[1] && offset[2] == output[2] &&
                offset[3] > 0 && offset[3] % channels == 0,
            ErrorCode::shape, name, ": offset must have shape [", output[0], ", ", output[1], ", ", output[2],
            ", a multiple of ", channels, "]; received ", offset);
    const int64_t groups_of_offsets = offset_groups(w, offset);
    require(in[kInput].shape[3] % groups_of_offsets == 0, ErrorCode::shape, name, ": ", in[kInput].shape[3],
            " input channels cannot be split into the ", groups_of_offsets, " offset groups of an offset of shape ",
            offset);
    if (in[kMask].absent) {
      require(packed_mask || !sigmoid_mask, ErrorCode::argument, name, ": maskActivation needs a mask; received none");
      return;
    }
    require(!packed_mask, ErrorCode::argument, name,
            ": packedMask says that offset holds the mask; received a mask as well");
    require_dtype(name, "mask", in[kMask], DType::f32);
    require_shape(name, "mask", in[kMask], {output[0], output[1], output[2], groups_of_offsets * w[2] * w[3]});
  }
};
inline const OpRegistration<DeformConv2d> deform_conv2d_registration;

}  // namespace instaseg
