// concat: tensors of one dtype joined along one axis; the other dimensions are equal.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct Concat {
  int64_t axis = 0;

  static constexpr const char* name = "concat";
  static constexpr const char* inputs[] = {"inputs..."};
  static Concat parse(AttributeReader& reader) { return {.axis = reader.integer("axis")}; }

  /// The axis counted from the front.
  int resolved_axis(const Shape& shape) const { return static_cast<int>(axis < 0 ? axis + shape.rank() : axis); }

  Specs infer(const Specs& in) const {
    require(!in.empty(), ErrorCode::argument, name, ": at least one input is needed");
    const int64_t rank = in[0].shape.rank();
    require(rank > 0 && axis >= -rank && axis < rank, ErrorCode::argument, name, ": axis must be from ", -rank, " to ",
            rank - 1, " for shape ", in[0].shape, "; received ", axis);
    const int at = resolved_axis(in[0].shape);
    Shape shape = in[0].shape;
    for (size_t i = 1; i < in.size(); ++i) {
      require_dtype(name, "every input", in[i], in[0].dtype);
      Shape expected = in[0].shape;
      if (in[i].shape.rank() == rank) expected[at] = in[i].shape[at];
      require(in[i].shape == expected, ErrorCode::shape, name, ": input ", i, " of shape ", in[i].shape,
              " does not match ", in[0].shape, " outside axis ", at);
      shape[at] += in[i].shape[at];
    }
    shape.elements();
    return {{.dtype = in[0].dtype, .shape = shape}};
  }
};
inline const OpRegistration<Concat> concat_registration;

}  // namespace instaseg
