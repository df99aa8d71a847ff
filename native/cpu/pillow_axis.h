// One axis of Pillow's resampling with its triangle filter (Image.resize, BILINEAR): which input pixels an output pixel
// takes, and with which weights. Weights are computed in f64 and rounded to 22 fractional bits; a sum of products
// begins with one half and is cut to 8 bits. Reproduces Pillow 12 bit by bit.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "runtime/isa.h"

namespace instaseg::cpu {

constexpr int kPillowBits = 22;
constexpr int32_t kPillowHalf = int32_t{1} << (kPillowBits - 1);

/// A finished sum as a pixel.
INSTASEG_INLINE int32_t pillow_pixel(int32_t sum) { return std::clamp(sum >> kPillowBits, 0, 255); }

struct PillowAxis {
  struct Span {
    int32_t first;
    int32_t count;
  };
  /// Input pixels of each output pixel.
  std::vector<Span> spans;
  /// `stride` numbers an output pixel, of which the first `count` are used.
  std::vector<int32_t> weights;
  int64_t stride = 0;

  PillowAxis(int64_t input, int64_t output) {
    const double scale = static_cast<double>(input) / static_cast<double>(output);
    const double filter = std::max(scale, 1.0);  // enlarging keeps the filter one pixel wide
    const double inverse = 1.0 / filter;
    stride = static_cast<int64_t>(std::ceil(filter)) * 2 + 1;
    spans.resize(static_cast<size_t>(output));
    weights.resize(static_cast<size_t>(output * stride));
    std::vector<double> exact(static_cast<size_t>(stride));
    for (int64_t i = 0; i < output; ++i) {
      const double centre = (static_cast<double>(i) + 0.5) * scale;
      const int64_t first = std::max<int64_t>(static_cast<int64_t>(centre - filter + 0.5), 0);
      const int64_t end = std::min(static_cast<int64_t>(centre + filter + 0.5), input);
      double sum = 0.0;
      for (int64_t k = 0; k < end - first; ++k) {
        const double distance = std::abs((static_cast<double>(k + first) - centre + 0.5) * inverse);
        const double weight = distance < 1.0 ? 1.0 - distance : 0.0;
        exact[static_cast<size_t>(k)] = weight;
        sum += weight;
      }
      spans[static_cast<size_t>(i)] = {static_cast<int32_t>(first), static_cast<int32_t>(end - first)};
      int32_t* rounded = weights.data() + i * stride;
      for (int64_t k = 0; k < end - first; ++k) {
        const double weight = sum != 0.0 ? exact[static_cast<size_t>(k)] / sum : exact[static_cast<size_t>(k)];
        rounded[k] = static_cast<int32_t>(0.5 + weight * (int32_t{1} << kPillowBits));
      }
    }
  }
  const Span& span(int64_t i) const { return spans[static_cast<size_t>(i)]; }
  const int32_t* weights_of(int64_t i) const { return weights.data() + i * stride; }
};

}  // namespace instaseg::cpu
