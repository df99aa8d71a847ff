// boxIou: f32 [N, 4] and [M, 4] to intersection over union [N, M] (torchvision.ops.box_iou). Empty boxes give 0 / 0.
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct BoxIou {
  static constexpr const char* name = "boxIou";
  static constexpr const char* inputs[] = {"a", "b"};

  static BoxIou parse(AttributeReader&) { return {}; }
  Specs infer(const Specs& in) const {
    require_boxes(name, "a", in[0], 2);
    require_boxes(name, "b", in[1], 2);
    require_rank(name, "a", in[0], 2);
    require_rank(name, "b", in[1], 2);
    return {{.dtype = DType::f32, .shape = {in[0].shape[0], in[1].shape[0]}}};
  }
  double flops(const Specs&, const Specs& out) const { return 13.0 * static_cast<double>(out[0].shape.elements()); }
};
inline const OpRegistration<BoxIou> box_iou_registration;

}  // namespace instaseg
