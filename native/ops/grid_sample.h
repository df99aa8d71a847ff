// gridSample over NHWC as torch.nn.functional.grid_sample: bilinear, zeros outside. The grid's (x, y) run from -1 to 1
// over the image, from the centres (alignCorners) or the outer edges of its border pixels. A NaN coordinate samples 0.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct GridSample {
  bool align_corners = false;

  static constexpr const char* name = "gridSample";
  static constexpr const char* inputs[] = {"input", "grid"};
  static GridSample parse(AttributeReader& reader) { return {.align_corners = reader.flag("alignCorners")}; }
  Specs infer(const Specs& in) const {
    require_float(name, "input", in[0]);
    require_rank(name, "input", in[0], 4);
    require_rank(name, "grid", in[1], 4);
    require_dtype(name, "grid", in[1], DType::f32);
    const Shape& grid = in[1].shape;
    require(grid[0] == in[0].shape[0] && grid[3] == 2, ErrorCode::shape, name, ": grid must have shape [",
            in[0].shape[0], ", height, width, 2]; received ", grid);
    require(in[0].shape[1] < (1 << 24) && in[0].shape[2] < (1 << 24), ErrorCode::shape, name, ": input of shape ",
            in[0].shape, " is too large");
    return {{.dtype = in[0].dtype, .shape = {grid[0], grid[1], grid[2], in[0].shape[3]}}};
  }
  double flops(const Specs&, const Specs& out) const { return 8.0 * static_cast<double>(out[0].shape.elements()); }
};
inline const OpRegistration<GridSample> grid_sample_registration;

}  // namespace instaseg
