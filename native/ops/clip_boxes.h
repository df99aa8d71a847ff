// clipBoxes: x to [0, width], y to [0, height]; NaN stays NaN (torchvision.ops.clip_boxes_to_image).
//   boxes  f32 [N, K, ..., 4], or [rows, 4] with the rows split evenly over the images
//   sizes  i32 [N, 4]: original height and width, resized height and width of each image; or the attribute `size`
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct ClipBoxes {
  static constexpr const char* name = "clipBoxes";
  static constexpr const char* inputs[] = {"boxes", "sizes?", "counts?"};

  bool original = false;
  bool fixed = false;
  Pair size;

  static ClipBoxes parse(AttributeReader& reader) {
    ClipBoxes op;
    op.original = reader.choice("to", {"resized", "original"}) == 1;
    op.fixed = reader.has("size");
    op.size = reader.pair("size", Pair{});
    require(op.size.y >= 0 && op.size.x >= 0, ErrorCode::argument, name, ": size must be [height, width]; received [",
            op.size.y, ", ", op.size.x, "]");
    return op;
  }
  Specs infer(const Specs& in) const {
    const TensorSpec& sizes = input_or_absent(in, 1);
    require(fixed == sizes.absent, ErrorCode::argument, name,
            ": exactly one of the input sizes and the attribute size is needed");
    const BoxRows rows = box_rows(name, in[0], sizes);
    require_image_counts(name, input_or_absent(in, 2), rows.images);
    return {{.dtype = DType::f32, .shape = in[0].shape}};
  }
};
inline const OpRegistration<ClipBoxes> clip_boxes_registration;

}  // namespace instaseg
