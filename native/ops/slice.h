// slice: the block of `size` elements that begins at `begin`; a size of -1 goes to the end of its axis.
#pragma once

#include <vector>

#include "ops/shape_rules.h"

namespace instaseg {

struct Slice {
  std::vector<int64_t> begin;
  std::vector<int64_t> size;

  static constexpr const char* name = "slice";
  static constexpr const char* inputs[] = {"input"};
  static Slice parse(AttributeReader& reader) {
    return {.begin = reader.integers("begin"), .size = reader.integers("size")};
  }
  Specs infer(const Specs& in) const {
    const Shape& shape = in[0].shape;
    const size_t rank = static_cast<size_t>(shape.rank());
    require(begin.size() == rank && size.size() == rank, ErrorCode::argument, name, ": begin and size must have ", rank,
            " numbers for shape ", shape, "; received ", begin.size(), " and ", size.size());
    Shape result = shape;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const int64_t first = begin[static_cast<size_t>(axis)];
      const int64_t count = size[static_cast<size_t>(axis)];
      require(first >= 0 && first <= shape[axis] && count >= -1 && count <= shape[axis] - first, ErrorCode::shape, name,
              ": begin ", first, " and size ", count, " lie outside axis ", axis, " of shape ", shape);
      result[axis] = count < 0 ? shape[axis] - first : count;
    }
    return {{.dtype = in[0].dtype, .shape = result}};
  }
};
inline const OpRegistration<Slice> slice_registration;

}  // namespace instaseg
