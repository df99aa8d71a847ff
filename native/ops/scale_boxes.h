// scaleBoxes: boxes of the resized image in coordinates of the original one (torchvision resize_boxes): each axis times
// f32(original) / f32(resized).
//   boxes  f32 [N, K, ..., 4], or [rows, 4] with the rows split evenly over the images
//   sizes  i32 [N, 4]: original height and width, resized height and width of each image
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct ScaleBoxes {
  static constexpr const char* name = "scaleBoxes";
  static constexpr const char* inputs[] = {"boxes", "sizes", "counts?"};

  static ScaleBoxes parse(AttributeReader&) { return {}; }
  Specs infer(const Specs& in) const {
    const BoxRows rows = box_rows(name, in[0], in[1]);
    require_image_counts(name, input_or_absent(in, 2), rows.images);
    return {{.dtype = DType::f32, .shape = in[0].shape}};
  }
};
inline const OpRegistration<ScaleBoxes> scale_boxes_registration;

}  // namespace instaseg
