// assembleMasks: YOLACT's masks, sigmoid(prototypes * coefficients) inside the box and 0 outside (dbolya/yolact
// output_utils.postprocess and box_utils.crop).
//   prototypes f32, f16 or bf16 [N, PH, PW, K], coefficients f32 or in that dtype [N, D, K],
//   boxes f32 [N, D, 4] (relative x1, y1, x2, y2)
//   output     [N * D, PH, PW, 1] in the prototypes' dtype; sums are f32
// A cell is inside when x1 * PW - padding <= column < x2 * PW + padding, likewise for rows, in f32 without rounding;
// reversed sides are swapped.
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct AssembleMasks {
  static constexpr const char* name = "assembleMasks";
  static constexpr const char* inputs[] = {"prototypes", "coefficients", "boxes", "counts?"};

  float padding = 1;

  static AssembleMasks parse(AttributeReader& reader) {
    const AssembleMasks op{.padding = static_cast<float>(reader.number("padding", 1))};
    require(op.padding >= 0, ErrorCode::argument, name, ": padding must not be negative; received ", op.padding);
    return op;
  }
  Specs infer(const Specs& in) const {
    require_float(name, "prototypes", in[0]);
    require_rank(name, "prototypes", in[0], 4);
    const Shape& prototypes = in[0].shape;
    require(prototypes[1] <= 4096 && prototypes[2] <= 4096, ErrorCode::shape, name,
            ": prototypes have at most 4096 x 4096 cells; received ", prototypes);
    require_boxes(name, "boxes", in[2], 3);
    const Shape& boxes = in[2].shape;
    require_shape(name, "boxes", in[2], {prototypes[0], boxes[1], 4});
    require(in[1].dtype == DType::f32 || in[1].dtype == in[0].dtype, ErrorCode::dtype, name,
            ": coefficients must be f32 or have the prototypes' dtype, ", name_of(in[0].dtype), "; received ",
            name_of(in[1].dtype));
    require_shape(name, "coefficients", in[1], {boxes[0], boxes[1], prototypes[3]});
    require_image_counts(name, input_or_absent(in, 3), boxes[0]);
    return {{.dtype = in[0].dtype, .shape = {Shape{boxes[0], boxes[1]}.elements(), prototypes[1], prototypes[2], 1}}};
  }
  double flops(const Specs& in, const Specs& out) const {
    return 2.0 * static_cast<double>(out[0].shape.elements()) * static_cast<double>(in[0].shape[3]);
  }
};
inline const OpRegistration<AssembleMasks> assemble_masks_registration;

}  // namespace instaseg
