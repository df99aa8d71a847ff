// preprocess: images of any size to one batch. Each is normalised, (x * scale - mean) / std, resized (bilinear at pixel
// centres, no antialiasing, coordinates from original / resized size) and placed at the top left of its slot; the rest
// is 0. As torchvision's GeneralizedRCNNTransform (normalizeFirst) or YOLACT's FastBaseTransform (resizeFirst, scale
// 1).
#pragma once

#include <vector>

#include "ops/shape_rules.h"

namespace instaseg {

struct Preprocess {
  int64_t height = 0;
  int64_t width = 0;
  /// In the order of the channels when they are normalised.
  std::vector<double> mean;
  std::vector<double> std;
  double scale = 1.0 / 255;
  bool resize_first = false;
  /// Reverses the channels before normalising.
  bool swap_input = false;
  /// Reverses the channels after normalising.
  bool swap_output = false;

  static constexpr const char* name = "preprocess";
  /// sizes: i32 [N, 4] (original height, original width, resized height, resized width); images: u8 or f32 [H, W, 3].
  static constexpr const char* inputs[] = {"sizes", "images..."};
  static Preprocess parse(AttributeReader& reader) {
    Preprocess op;
    op.height = reader.integer("height");
    op.width = reader.integer("width");
    op.mean = reader.numbers("mean");
    op.std = reader.numbers("std");
    op.scale = reader.number("scale", 1.0 / 255);
    op.resize_first = reader.choice("order", {"normalizeFirst", "resizeFirst"}) == 1;
    op.swap_input = reader.flag("swapInput");
    op.swap_output = reader.flag("swapOutput");
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
  double flops(const Specs&, const Specs& out) const { return 8.0 * static_cast<double>(out[0].shape.elements()); }

  /// Channel of `mean` and `std` for channel c of the output.
  int64_t statistics_channel(int64_t c) const { return swap_output ? 2 - c : c; }
  /// Channel of the image for channel c of the output.
  int64_t image_channel(int64_t c) const { return swap_input ? 2 - statistics_channel(c) : statistics_channel(c); }
};
inline const OpRegistration<Preprocess> preprocess_registration;

}  // namespace instaseg
