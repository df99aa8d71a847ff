// One axis of Pillow's resampling with its triangle filter (Image.resize, BILINEAR): which input pixels an output pixel
// takes, and with which weights. Weights are computed in f64 and rounded to 22 fractional bits; a sum of products
// begins with one half and is cut to 8 bits. Reproduces Pillow 12 bit by bit.
#pragma once

#include <cmath>
#include <cstdint>

#include "ops/decision_math.h"

namespace instaseg {

constexpr int kPillowBits = 22;
constexpr int32_t kPillowHalf = int32_t{1} << (kPillowBits - 1);

/// A finished sum as a pixel.
INSTASEG_DECISION int32_t pillow_pixel(int32_t sum) {
  const int32_t value = sum >> kPillowBits;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

struct PillowFilter {
  /// Input pixels of an output pixel.
  struct Span {
    int32_t first;
    int32_t count;
  };

  int64_t input;
  double scale;
  double reach;  ///< enlarging keeps the filter a pixel wide to each side
  double inverse;

  INSTASEG_DECISION PillowFilter(int64_t from, int64_t to)
      : input(from),
        scale(static_cast<double>(from) / static_cast<double>(to)),
        reach(scale < 1.0 ? 1.0 : scale),
        inverse(1.0 / reach) {}

  /// No span is longer.
  INSTASEG_DECISION int64_t longest() const { return static_cast<int64_t>(std::ceil(reach)) * 2 + 1; }
  INSTASEG_DECISION double centre(int64_t i) const { return (static_cast<double>(i) + 0.5) * scale; }
  INSTASEG_DECISION Span span(int64_t i) const {
    const int64_t low = static_cast<int64_t>(centre(i) - reach + 0.5);
    const int64_t high = static_cast<int64_t>(centre(i) + reach + 0.5);
    const int64_t first = low < 0 ? 0 : low;
    return {static_cast<int32_t>(first), static_cast<int32_t>((high < input ? high : input) - first)};
  }
  /// Weight of pixel k of output pixel i's span, before all of them are divided by their sum.
  INSTASEG_DECISION double weight(int64_t i, int64_t k) const {
    const double distance = std::fabs((static_cast<double>(k + span(i).first) - centre(i) + 0.5) * inverse);
    return distance < 1.0 ? 1.0 - distance : 0.0;
  }
  /// A weight in fixed point.
  static INSTASEG_DECISION int32_t rounded(double weight, double sum) {
    return static_cast<int32_t>(0.5 + (sum != 0.0 ? weight / sum : weight) * (int32_t{1} << kPillowBits));
  }
};

}  // namespace instaseg
