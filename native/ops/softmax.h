// softmax over one axis: e^(x - max) / sum. Rows of axis 0 past `counts` are neither read nor written.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct Softmax {
  int64_t axis = -1;

  static constexpr const char* name = "softmax";
  static constexpr const char* inputs[] = {"input", "counts?"};
  static Softmax parse(AttributeReader& reader) { return {.axis = reader.integer("axis", -1)}; }

  /// The axis counted from the front.
  int resolved_axis(const Shape& shape) const { return static_cast<int>(axis < 0 ? axis + shape.rank() : axis); }

  Specs infer(const Specs& in) const {
    require_float(name, "input", in[0]);
    const int64_t rank = in[0].shape.rank();
    require(rank > 0 && axis >= -rank && axis < rank, ErrorCode::argument, name, ": axis must be from ", -rank, " to ",
            rank - 1, " for shape ", in[0].shape, "; received ", axis);
    if (!in[1].absent) {
      require(resolved_axis(in[0].shape) != 0, ErrorCode::argument, name,
              ": counts select rows of axis 0, so axis must be another one");
      require_counts(name, in[1], in[0].shape[0]);
    }
    return {{.dtype = in[0].dtype, .shape = in[0].shape}};
  }
  double flops(const Specs& in, const Specs&) const { return 16.0 * static_cast<double>(in[0].shape.elements()); }
};
inline const OpRegistration<Softmax> softmax_registration;

}  // namespace instaseg
