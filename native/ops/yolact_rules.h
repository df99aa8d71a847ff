// Coordinates as dbolya/yolact box_utils.sanitize_coordinates brings them into an image: relative times size, swapped
// where reversed, and padded; the lower end is clamped at 0 only, the upper end at the size only.
#pragma once

#include <algorithm>

#include "ops/decision_math.h"

namespace instaseg {

struct Extent {
  float low, high;
};

/// In f32, without rounding; NaN (both ends) where a coordinate is.
INSTASEG_DECISION Extent sanitize(float a, float b, int64_t size, float padding) {
  const float scale = static_cast<float>(size);
  a = a * scale;
  b = b * scale;
  if (a != a || b != b) return {NAN, NAN};
  return {greater(lesser(a, b) - padding, 0.0f), lesser(greater(a, b) + padding, scale)};
}

/// The pixels i with low <= i < high, all in [0, size); none where an end is NaN.
INSTASEG_DECISION void pixels_within(Extent extent, int64_t size, int64_t& begin, int64_t& end) {
  const float limit = static_cast<float>(size);
  begin = extent.low < limit ? static_cast<int64_t>(std::ceil(greater(extent.low, 0.0f))) : size;
  end = extent.high > 0 ? static_cast<int64_t>(std::ceil(lesser(extent.high, limit))) : 0;
  end = std::max(end, begin);
}

}  // namespace instaseg
