// preprocessPillow: images of any size to one batch, as detectron2 prepares them. An 8-bit image is resized as Pillow's
// Image.resize(size, BILINEAR) does it: an antialiasing triangle filter in fixed point, rows first, rounded to 8 bits
// after each axis. An f32 image is resized bilinearly at pixel centres, without antialiasing, which is what detectron2
// does with floating-point images. Then (x - mean) / std, and the result lies at the top left of its slot; the rest is
// 0.
//   sizes i32 [N, 4] (original height and width, resized height and width), images u8 or f32 [H, W, 3]
//   result f32 [N, height, width, 3]
#pragma once

#include <vector>

#include "ops/shape_rules.h"

namespace instaseg {

struct PreprocessPillow {
  int64_t height = 0;
  int64_t width = 0;
  /// In the order of the output's channels.
  std::vector<double> mean;
  std::vector<double> std;
  /// Reverses the channels before normalising.
  bool swap_channels = false;

  static constexpr const char* name = "preprocessPillow";
  static constexpr const char* inputs[] = {"sizes", "images..."};
  static PreprocessPillow parse(AttributeReader& reader) {
    PreprocessPillow op;
    op.height = reader.integer("height");
    op.width = reader.integer("width");
    op.mean = reader.numbers("mean");
    op.std = reader.numbers("std");
    op.swap_channels = reader.flag("swapChannels");
    require_positive(name, "height and width", {op.height, op.width});
    require(op.mean.size() == 3 && op.std.size() == 3, ErrorCode::argument, name,
            ": mean and std must have 3 numbers; received ", op.mean.size(), " and ", op.std.size());
    for (double value : op.std) {
      require(value > 0, ErrorCode::argument, name, ": std must be positive; received ", value);
    }
    return op;
  }
  Specs infer(const Specs& in) const {
    const int64_t images = static_cast<int64_t>(in.size()) - 1;
    require_dtype(name, "sizes", in[0], DType::i32);
    require_shape(name, "sizes", in[0], {images, 4});
    for (int64_t i = 0; i < images; ++i) {
      const TensorSpec& image = in[static_cast<size_t>(i) + 1];
      require(image.dtype == DType::u8 || image.dtype == DType::f32, ErrorCode::dtype, name,
              ": images must be u8 or f32; image ", i, " is ", name_of(image.dtype));
      const bool fits = image.shape.rank() == 3 && (image.shape[2] == 3 || image.shape[2] == kDynamic);
      require(fits, ErrorCode::shape, name, ": images must have shape [height, width, 3]; image ", i, " has ",
              image.shape);
    }
    return {{.dtype = DType::f32, .shape = {images, height, width, 3}}};
  }
  double flops(const Specs&, const Specs& out) const { return 12.0 * static_cast<double>(out[0].shape.elements()); }

  /// Channel of the image for channel c of the output.
  int64_t image_channel(int64_t c) const { return swap_channels ? 2 - c : c; }
};
inline const OpRegistration<PreprocessPillow> preprocess_pillow_registration;

}  // namespace instaseg
