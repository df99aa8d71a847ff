// Arithmetic that decides results: box coding, IoU, pyramid levels, paste coordinates. It is written out operation by
// operation in IEEE f32 (and f64 inside exact_exp), so that every variant on every device gives the same bits. Files
// that include this compile without contraction of a * b + c.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define INSTASEG_DECISION __host__ __device__ __forceinline__
#else
#define INSTASEG_DECISION inline __attribute__((always_inline))
#endif

namespace instaseg {

struct Box {
  float x1, y1, x2, y2;
};

INSTASEG_DECISION float lesser(float a, float b) { return a < b ? a : b; }
INSTASEG_DECISION float greater(float a, float b) { return a > b ? a : b; }

/// Arguments beyond which exp in f32 is 0 or infinity are brought to the edge of that range. NaN stays NaN.
INSTASEG_DECISION float exp_argument(float x) {
  x = x > 130.0f ? 130.0f : x;
  return x < -150.0f ? -150.0f : x;
}

/// exp in f64 (reduction by ln 2, Taylor to r^10, relative error 3e-13), rounded once: the f32 result is correctly
/// rounded but for about one argument in a million. Library functions differ between devices in the last bit, which
/// is enough to move a box over a threshold. NaN stays NaN.
/// Split from exp_argument because a loop that calls both does not vectorise.
INSTASEG_DECISION float exact_exp_in_range(float x) {
  const double t = x;
  // Adding 1.5 * 2^52 rounds to an integer k and leaves its bits at the bottom of the mantissa.
  const double shifted = t * 1.4426950408889634074 + 6755399441055744.0;
  const double k = shifted - 6755399441055744.0;
  const double r = (t - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
  double p = 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const uint64_t exponent = (std::bit_cast<uint64_t>(shifted) + 1023) << 52;
  return static_cast<float>(p * std::bit_cast<double>(exponent));
}

INSTASEG_DECISION float exact_exp(float x) { return exact_exp_in_range(exp_argument(x)); }

INSTASEG_DECISION float exact_sigmoid(float x) { return 1.0f / (1.0f + exact_exp(-x)); }

/// log2 in f64 (reduction to [sqrt(1/2), sqrt(2)), then the series of atanh, relative error below 1e-15), rounded once;
/// exact for powers of two. -infinity for 0, NaN for negative numbers.
INSTASEG_DECISION float exact_log2(float x) {
  if (!(x > 0.0f)) return x == 0.0f ? -INFINITY : NAN;
  if (x == INFINITY) return x;
  const uint64_t bits = std::bit_cast<uint64_t>(static_cast<double>(x));  // never subnormal
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  if (m > 1.41421356237309504880) {
    m *= 0.5;
    exponent += 1;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double p = 1.0 / 23;
  p = p * z + 1.0 / 21;
  p = p * z + 1.0 / 19;
  p = p * z + 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  // The leading term apart: its error decides.
  const double log2_m = s * 2.8853900817779268147 + s * z * p * 2.8853900817779268147;
  return static_cast<float>(static_cast<double>(exponent) + log2_m);
}

INSTASEG_DECISION float box_area(const Box& b) { return (b.x2 - b.x1) * (b.y2 - b.y1); }

/// Intersection over union as torchvision computes it. A NaN coordinate makes the area NaN and so the result.
INSTASEG_DECISION float box_iou(const Box& a, float area_a, const Box& b, float area_b) {
  const float w = greater(lesser(a.x2, b.x2) - greater(a.x1, b.x1), 0.0f);
  const float h = greater(lesser(a.y2, b.y2) - greater(a.y1, b.y1), 0.0f);
  const float intersection = w * h;
  return intersection / (area_a + area_b - intersection);
}

/// A coordinate brought to [0, limit]. NaN passes through.
INSTASEG_DECISION float clip_coordinate(float x, float limit) { return x < 0.0f ? 0.0f : (x > limit ? limit : x); }

/// The largest float <= t: for a float x, x > t and x > floor_to_float(t) say the same.
inline float floor_to_float(double t) {
  const float f = static_cast<float>(t);
  return static_cast<double>(f) > t ? std::nextafter(f, -INFINITY) : f;
}

}  // namespace instaseg
