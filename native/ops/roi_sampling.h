// Where roiAlign samples: positions, neighbours and ranges along one axis of one region.
#pragma once

#include "ops/decision_math.h"

namespace instaseg {

/// The attributes of roiAlign that place samples.
struct RoiRule {
  int64_t sampling_ratio = 0;  ///< samples a bin and axis; 0: as many as a bin has pixels
  bool aligned = false;
};

/// One axis of one region, in pixels of its level.
struct RoiAxis {
  float start, bin;
  int64_t grid;  ///< samples a bin
  int64_t size;  ///< of the map

  INSTASEG_DECISION float position(int64_t bin_index, int64_t sample) const {
    return start + static_cast<float>(bin_index) * bin +
           (static_cast<float>(sample) + 0.5f) * bin / static_cast<float>(grid);
  }
  /// False for NaN.
  INSTASEG_DECISION bool inside(float position) const {
    return position >= -1.0f && position <= static_cast<float>(size);
  }
};

INSTASEG_DECISION RoiAxis roi_axis(const RoiRule& rule, float low, float high, float scale, int64_t bins,
                                   int64_t size) {
  const float offset = rule.aligned ? 0.5f : 0.0f;
  const float start = low * scale - offset;
  float extent = high * scale - offset - start;
  if (!rule.aligned) extent = extent < 1.0f ? 1.0f : extent;
  RoiAxis axis{.start = start, .bin = extent / static_cast<float>(bins), .grid = rule.sampling_ratio, .size = size};
  if (rule.sampling_ratio == 0) {
    const float samples = std::ceil(extent / static_cast<float>(bins));
    axis.grid = samples > 0 ? static_cast<int64_t>(samples < 1e9f ? samples : 1e9f) : 0;
  }
  return axis;
}

/// What the sum over a bin is divided by.
INSTASEG_DECISION float roi_sample_count(const RoiAxis& y, const RoiAxis& x) {
  const int64_t count = y.grid * x.grid;
  return static_cast<float>(count > 1 ? count : 1);
}

/// The two neighbours of a sample inside the map, and the weight of the upper one.
struct RoiNeighbours {
  int64_t low, high;
  float fraction;
};
INSTASEG_DECISION RoiNeighbours roi_neighbours(float position, int64_t size) {
  position = position <= 0 ? 0 : position;
  const int64_t low = static_cast<int64_t>(position);
  if (low >= size - 1) return {size - 1, size - 1, 0.0f};
  return {low, low + 1, position - static_cast<float>(low)};
}

struct RoiSampleRange {
  int64_t begin, end;
};
/// The samples of a bin that can lie on the map: two more on each side than their distances say, and all of them in a
/// grid of ordinary size. Each is still tested exactly.
INSTASEG_DECISION RoiSampleRange roi_sample_range(const RoiAxis& axis, int64_t bin) {
  if (axis.grid <= 64) return {0, axis.grid};
  const double step = static_cast<double>(axis.bin) / static_cast<double>(axis.grid);
  const double start = static_cast<double>(axis.start) + static_cast<double>(bin) * static_cast<double>(axis.bin);
  if (!(std::abs(start) < 1e12 && step > 0)) return {0, 0};
  const double limit = static_cast<double>(axis.grid);
  const double first = std::floor((-1.0 - start) / step) - 2;
  const double last = std::ceil((static_cast<double>(axis.size) - start) / step) + 2;
  return {static_cast<int64_t>(first < 0.0 ? 0.0 : (first > limit ? limit : first)),
          static_cast<int64_t>(last < 0.0 ? 0.0 : (last > limit ? limit : last))};
}

/// How regions are dealt to the levels of a pyramid.
struct RoiLevels {
  int64_t count = 1;
  float canonical_scale = 224;
  float canonical_level = 4;
  float min_level = 0;
  float max_level = 0;
  bool epsilon_inside = false;
  float epsilon = 0;

  /// Pyramid level of a box, or -1 for none: floor(canonicalLevel + log2(sqrt(area) / canonicalScale) + epsilon),
  /// clamped to the levels of the first and last scale; the detectron2 rule adds its epsilon to the quotient. log2 is
  /// taken in f64 and rounded once.
  INSTASEG_DECISION int64_t level(const Box& box) const {
    if (count == 1) return 0;
    const float quotient = std::sqrt(box_area(box)) / canonical_scale;
    float level;
    if (epsilon_inside) {
      level = std::floor(canonical_level + exact_log2(quotient + epsilon));
    } else {
      level = std::floor(canonical_level + exact_log2(quotient) + epsilon);
    }
    const float map = lesser(greater(level, min_level), max_level) - min_level;
    return map >= 0 && map < static_cast<float>(count) && level == level ? static_cast<int64_t>(map) : -1;
  }
};

}  // namespace instaseg
