// reshape: the same elements under another shape. The plan makes the output an alias of the input: no kernel runs.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct Reshape {
  static constexpr const char* name = "reshape";
  static constexpr const char* inputs[] = {"input"};

  /// One dimension may be -1: it takes what the others leave.
  std::vector<int64_t> shape;

  static Reshape parse(AttributeReader& reader) { return {reader.integers("shape")}; }

  Specs infer(const Specs& in) const {
    const int64_t elements = in[0].shape.elements();
    int64_t known = 1;
    int unknown = -1;
    Shape result(shape.begin(), shape.end());
    for (int axis = 0; axis < result.rank(); ++axis) {
      if (result[axis] == -1) {
        require(unknown < 0, ErrorCode::shape, "reshape: only one dimension may be -1");
        unknown = axis;
      } else {
        require(result[axis] >= 0, ErrorCode::shape, "reshape: dimensions must not be negative; received ",
                result[axis]);
        known *= result[axis];
      }
    }
    if (unknown >= 0 && known > 0) result[unknown] = elements / known;
    require((unknown < 0 || known > 0) && result.elements() == elements, ErrorCode::shape, "reshape: ", in[0].shape,
            " has ", elements, " elements and cannot take the shape ", Shape(shape.begin(), shape.end()));
    return {{.dtype = in[0].dtype, .shape = result}};
  }
};
inline const OpRegistration<Reshape> reshape_registration;

}  // namespace instaseg
