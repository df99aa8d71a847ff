// Where one axis of an output image samples its input: linearly, or the nearest pixel. Linear taps come with the
// roundings of torch.nn.functional.interpolate on the CPU (checked against PyTorch 1.13): an f32 step, the exact source
// coordinate i * step, and an f32 weight. Plain f32 all the way would be off by up to 6e-5 of a pixel at 1000 pixels,
// which noisy images show.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/decision_math.h"

namespace instaseg {

/// Two neighbours and their weights; at the far border both are the last pixel. Tables of them are read 16 bytes at a
/// time.
struct alignas(16) LinearTap {
  int32_t first;
  int32_t second;
  float first_weight;
  float second_weight;
};

/// Tap of output pixel i with `step` input pixels an output pixel, at pixel centres or (align_corners) pixel corners.
INSTASEG_DECISION LinearTap linear_tap(int64_t i, int64_t input, int64_t output, float step, bool align_corners) {
  const int32_t last = static_cast<int32_t>(input - 1);
  // Equal sizes copy, whatever factor was given.
  if (input == output) return {static_cast<int32_t>(i), static_cast<int32_t>(i), 1.0f, 0.0f};
  const double at = static_cast<double>(i);
  const double source = align_corners ? step * at : std::max(0.0, step * (at + 0.5) - 0.5);
  const int32_t first = source < last ? static_cast<int32_t>(source) : last;
  const float second_weight = static_cast<float>(std::clamp(source - first, 0.0, 1.0));
  return {first, std::min(first + 1, last), 1.0f - second_weight, second_weight};
}

/// Tap of an axis whose output covers the input whole.
INSTASEG_DECISION LinearTap linear_tap(int64_t i, int64_t input, int64_t output) {
  return linear_tap(i, input, output, static_cast<float>(input) / static_cast<float>(output), false);
}

/// Input pixel of output pixel i where the nearest is taken: `offset` is 0.5 to look from pixel centres, else 0.
INSTASEG_DECISION int64_t nearest_pixel(float offset, int64_t i, int64_t input, float step) {
  const float source = std::floor((static_cast<float>(i) + offset) * step);
  return source < static_cast<float>(input - 1) ? static_cast<int64_t>(source) : input - 1;
}

}  // namespace instaseg
