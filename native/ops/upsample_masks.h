// upsampleMasks: masks of whole images enlarged to the original size (torch.nn.functional.interpolate, bilinear,
// align_corners=False), stored only where they can be more than 0.
//   masks   f32 [N * D, PH, PW, 1], or [N, D, PH, PW]; sizes i32 [N, 4] (original height and width come first)
//   regions i32 [N, D, 4], offsets i32 [N, D], and `bits` u8 or, with output "soft", f32 values: as in pasteMasks
// A region holds every pixel that samples a cell other than 0, so the pixels outside are exactly 0. Pixels above the
// threshold (at least 0) are set; NaN is not.
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct UpsampleMasks {
  static constexpr const char* name = "upsampleMasks";
  static constexpr const char* inputs[] = {"masks", "sizes", "counts?"};

  float threshold = 0.5f;
  bool soft = false;

  static UpsampleMasks parse(AttributeReader& reader) {
    UpsampleMasks op;
    op.threshold = static_cast<float>(reader.number("threshold", 0.5));
    op.soft = reader.choice("output", {"bits", "soft"}) == 1;
    require(op.threshold >= 0, ErrorCode::argument, name, ": threshold must not be negative; received ", op.threshold);
    return op;
  }
  Specs infer(const Specs& in) const {
    require_dtype(name, "masks", in[0], DType::f32);
    require_rank(name, "masks", in[0], 4);
    require_dtype(name, "sizes", in[1], DType::i32);
    require_rank(name, "sizes", in[1], 2);
    const Shape& masks = in[0].shape;
    const int64_t images = in[1].shape[0];
    require_shape(name, "sizes", in[1], {images, 4});
    require(has_channel(masks) ? (images > 0 ? masks[0] % images == 0 : masks[0] == 0) : masks[0] == images,
            ErrorCode::shape, name, ": masks must be [N * D, PH, PW, 1] or [N, D, PH, PW] for the ", images,
            " rows of sizes; received ", masks);
    require(height(masks) > 0 && width(masks) > 0 && height(masks) <= 4096 && width(masks) <= 4096, ErrorCode::shape,
            name, ": masks must have from 1 x 1 to 4096 x 4096 cells; received ", masks);
    const int64_t capacity = has_channel(masks) ? (images > 0 ? masks[0] / images : 0) : masks[1];
    require_image_counts(name, input_or_absent(in, 2), images);
    return {{.dtype = DType::i32, .shape = {images, capacity, 4}},
            {.dtype = DType::i32, .shape = {images, capacity}},
            {.dtype = soft ? DType::f32 : DType::u8, .shape = {kDynamic}}};
  }
  /// A last dimension of 1 is the channel.
  static bool has_channel(const Shape& masks) { return masks[3] == 1; }
  static int64_t height(const Shape& masks) { return masks[has_channel(masks) ? 1 : 2]; }
  static int64_t width(const Shape& masks) { return masks[has_channel(masks) ? 2 : 3]; }
};
inline const OpRegistration<UpsampleMasks> upsample_masks_registration;

}  // namespace instaseg
