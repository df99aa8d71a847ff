// pad: `before` and `after` elements of a constant around every axis.
#pragma once

#include <vector>

#include "ops/shape_rules.h"

namespace instaseg {

struct Pad {
  std::vector<int64_t> before;
  std::vector<int64_t> after;
  double value = 0;

  static constexpr const char* name = "pad";
  static constexpr const char* inputs[] = {"input"};
  static Pad parse(AttributeReader& reader) {
    return {.before = reader.integers("before"), .after = reader.integers("after"), .value = reader.number("value", 0)};
  }
  Specs infer(const Specs& in) const {
    const Shape& shape = in[0].shape;
    const size_t rank = static_cast<size_t>(shape.rank());
    require(before.size() == rank && after.size() == rank, ErrorCode::argument, name, ": before and after must have ",
            rank, " numbers for shape ", shape, "; received ", before.size(), " and ", after.size());
    if (in[0].dtype == DType::u8 || in[0].dtype == DType::i32) {
      const double low = in[0].dtype == DType::u8 ? 0.0 : -2147483648.0;
      const double high = in[0].dtype == DType::u8 ? 255.0 : 2147483647.0;
      require(value == std::trunc(value) && value >= low && value <= high, ErrorCode::argument, name, ": value ", value,
              " is not an ", name_of(in[0].dtype));
    }
    Shape result = shape;
    constexpr int64_t kLimit = int64_t{1} << 40;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const int64_t first = before[static_cast<size_t>(axis)];
      const int64_t last = after[static_cast<size_t>(axis)];
      require(first >= 0 && last >= 0 && first < kLimit && last < kLimit, ErrorCode::argument, name,
              ": before and after must not be negative; received ", first, " and ", last, " for axis ", axis);
      result[axis] += first + last;
    }
    result.elements();
    return {{.dtype = in[0].dtype, .shape = result}};
  }
};
inline const OpRegistration<Pad> pad_registration;

}  // namespace instaseg
