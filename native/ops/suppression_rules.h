// When one box suppresses another (nms, fastNms): two rules with the f32 operations that every variant performs.
#pragma once

#include "ops/decision_math.h"

namespace instaseg {

/// Sides are differences; suppressed above the threshold.
struct IouAbove {
  static INSTASEG_DECISION float side(float difference) { return difference; }
  static INSTASEG_DECISION bool exceeds(float iou, float threshold) { return iou > threshold; }
  static constexpr bool kInclusive = false;
};
/// Sides in whole pixels, both ends included; suppressed from the threshold on, which is more than 0.
struct PixelIouFrom {
  static INSTASEG_DECISION float side(float difference) { return difference + 1.0f; }
  static INSTASEG_DECISION bool exceeds(float iou, float threshold) { return iou >= threshold; }
  static constexpr bool kInclusive = true;
};

template <class Rule>
INSTASEG_DECISION float suppression_area(const Box& b) {
  return Rule::side(b.x2 - b.x1) * Rule::side(b.y2 - b.y1);
}

/// The test of one pair of boxes with their suppression areas. A NaN never suppresses.
template <class Rule>
INSTASEG_DECISION bool suppresses(const Box& a, float area_a, const Box& b, float area_b, float threshold) {
  const float w = greater(Rule::side(lesser(a.x2, b.x2) - greater(a.x1, b.x1)), 0.0f);
  const float h = greater(Rule::side(lesser(a.y2, b.y2) - greater(a.y1, b.y1)), 0.0f);
  const float intersection = w * h;
  // 0, -0 or NaN without the division, which is most of the work.
  if (threshold >= 0 && !(intersection > 0)) return false;
  return Rule::exceeds(intersection / (area_a + area_b - intersection), threshold);
}
template <class Rule>
INSTASEG_DECISION bool suppresses(const Box& a, const Box& b, float threshold) {
  return suppresses<Rule>(a, suppression_area<Rule>(a), b, suppression_area<Rule>(b), threshold);
}

}  // namespace instaseg
