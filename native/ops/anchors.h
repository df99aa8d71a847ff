// anchors: base anchors repeated over a grid, f32 [h * w * A, 4] in the order y, x, anchor (torchvision
// AnchorGenerator.grid_anchors). No inputs.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct Anchors {
  static constexpr const char* name = "anchors";
  static constexpr std::array<const char*, 0> inputs{};

  Pair grid;
  Pair stride;
  std::vector<float> base;
  double offset = 0;

  static Anchors parse(AttributeReader& reader) {
    Anchors op;
    op.grid = reader.pair("grid");
    op.stride = reader.pair("stride");
    op.offset = reader.number("offset", 0);
    for (double value : reader.numbers("base")) op.base.push_back(static_cast<float>(value));
    require(op.grid.y >= 0 && op.grid.x >= 0 && op.grid.y < (1 << 20) && op.grid.x < (1 << 20), ErrorCode::argument,
            name, ": grid must be [height, width]; received [", op.grid.y, ", ", op.grid.x, "]");
    require_positive(name, "stride", op.stride);
    require(!op.base.empty() && op.base.size() % 4 == 0, ErrorCode::argument, name,
            ": base must hold x1, y1, x2, y2 of each base anchor; received ", op.base.size(), " numbers");
    return op;
  }
  int64_t anchors() const { return static_cast<int64_t>(base.size()) / 4; }
  Specs infer(const Specs&) const { return {{.dtype = DType::f32, .shape = {grid.y * grid.x * anchors(), 4}}}; }
};
inline const OpRegistration<Anchors> anchors_registration;

}  // namespace instaseg
