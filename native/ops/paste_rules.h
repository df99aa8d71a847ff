// What pasteMasks and pasteMasksRle share: inputs, attributes and the geometry of a pasted mask.
//   masks f32 [N, K, mh, mw] or [N * K, mh, mw] (probabilities), boxes f32 [N, K, 4] in original image coordinates,
//   sizes i32 [N, 4] (original height and width come first), counts i32 [N]
#pragma once

#include <limits>

#include "ops/box_rules.h"
#include "ops/decision_math.h"

namespace instaseg {

enum class PasteRule { torchvision, detectron2 };

/// A mask is sampled between neighbours `at` and `at + 1` of the mask padded with one zero before and two behind.
struct PasteTap {
  int32_t at;
  float w0, w1;
};

/// One axis of a pasted mask: which pixels it covers and where each of them samples the mask.
struct PasteAxis {
  int64_t begin = 0, end = 0;  ///< pixels inside the image; end >= begin
  int64_t origin = 0;          ///< torchvision: first pixel of the resized mask, maybe outside the image
  float scale = 0;             ///< torchvision: padded mask pixels an image pixel
  float low = 0, extent = 0;   ///< detectron2: box side
  int32_t mask = 0;            ///< mask pixels

  /// Where pixel x of the image samples: as PyTorch's interpolate (align_corners=False) on the padded mask, and as its
  /// grid_sample (padding with zeros) on the mask. Builds of PyTorch that fuse multiply-adds differ in the last bits.
  template <PasteRule Rule>
  INSTASEG_DECISION PasteTap tap(int64_t x) const {
    PasteTap tap;
    if constexpr (Rule == PasteRule::torchvision) {
      float source = scale * (static_cast<float>(x - origin) + 0.5f) - 0.5f;
      source = lesser(greater(source, 0.0f), static_cast<float>(mask + 1));
      tap.at = static_cast<int32_t>(source);
      tap.w1 = source - static_cast<float>(tap.at);
      tap.w0 = 1.0f - tap.w1;
    } else {
      const float grid = (static_cast<float>(x) + 0.5f - low) / extent * 2.0f - 1.0f;
      const float source = (grid + 1.0f) * (static_cast<float>(mask) / 2.0f) - 0.5f;
      const float below = std::floor(source);
      // Outside, both neighbours are zeros behind the mask; also where the position is not a number.
      const bool inside = below >= -1.0f && below < static_cast<float>(mask);
      tap.at = inside ? static_cast<int32_t>(below) + 1 : mask + 1;
      tap.w1 = inside ? source - below : 0.0f;
      tap.w0 = 1.0f - tap.w1;
    }
    return tap;
  }
};

/// The value at a pixel from the four mask values around it (row, column) and the taps of both axes.
template <PasteRule Rule>
INSTASEG_DECISION float paste_value(float v00, float v01, float v10, float v11, float x0, float x1, float y0,
                                    float y1) {
  if constexpr (Rule == PasteRule::torchvision) {
    return (v00 * x0 + v01 * x1) * y0 + (v10 * x0 + v11 * x1) * y1;
  } else {
    return v00 * (x0 * y0) + v01 * (x1 * y0) + v10 * (x0 * y1) + v11 * (x1 * y1);
  }
}

/// torchvision keeps probabilities above the threshold, detectron2 those from it on. NaN is outside.
template <PasteRule Rule>
INSTASEG_DECISION bool paste_inside(float value, float threshold) {
  return Rule == PasteRule::torchvision ? value > threshold : value >= threshold;
}

/// Both sides of a box on one axis; `expand` is (mask width + 2) / mask width.
INSTASEG_DECISION PasteAxis paste_axis(PasteRule rule, float low, float high, int64_t mask, float expand,
                                       int64_t image) {
  PasteAxis axis;
  axis.mask = static_cast<int32_t>(mask);
  if (rule == PasteRule::torchvision) {
    const float half = (high - low) * 0.5f * expand;
    const float centre = (high + low) * 0.5f;
    const float first = centre - half;
    const float last = centre + half;
    if (!(std::abs(first) < 1e9f && std::abs(last) < 1e9f)) return axis;
    axis.origin = static_cast<int64_t>(first);
    const int64_t stop = static_cast<int64_t>(last) + 1;
    const int64_t size = std::max<int64_t>(stop - axis.origin, 1);
    axis.scale = static_cast<float>(mask + 2) / static_cast<float>(size);
    axis.begin = std::max<int64_t>(axis.origin, 0);
    axis.end = std::max(std::min(stop, image), axis.begin);
    return axis;
  }
  axis.low = low;
  axis.extent = high - low;
  if (!(axis.extent > 0 && std::abs(low) < 1e9f && std::abs(high) < 1e9f)) return axis;
  // Bilinear sampling reaches half a mask pixel beyond the box, and one image pixel covers the rounding.
  const double reach = 0.5 * axis.extent / static_cast<double>(mask) + 1.0;
  const double limit = static_cast<double>(image);
  axis.begin = static_cast<int64_t>(std::clamp(std::floor(low - reach), 0.0, limit));
  axis.end = static_cast<int64_t>(std::clamp(std::ceil(high + reach), static_cast<double>(axis.begin), limit));
  return axis;
}

struct PastePlace {
  PasteAxis y, x;
  INSTASEG_DECISION int64_t height() const { return y.end - y.begin; }
  INSTASEG_DECISION int64_t width() const { return x.end - x.begin; }
};

/// Where a mask lands in an image of the given size; empty (all zero) where it does not.
INSTASEG_DECISION PastePlace paste_place(PasteRule rule, const Box& box, int64_t mask_height, int64_t mask_width,
                                         int64_t image_height, int64_t image_width) {
  PastePlace place;
  if (mask_height == 0 || mask_width == 0) return place;
  const float expand = static_cast<float>(static_cast<double>(mask_width + 2) / static_cast<double>(mask_width));
  place.x = paste_axis(rule, box.x1, box.x2, mask_width, expand, image_width);
  place.y = paste_axis(rule, box.y1, box.y2, mask_height, expand, image_height);
  if (place.width() == 0 || place.height() == 0) place = {};
  return place;
}

struct PasteRules {
  PasteRule rule = PasteRule::torchvision;
  float threshold = 0.5f;

  void parse_rules(AttributeReader& reader) {
    rule = reader.choice("rule", {"torchvision", "detectron2"}) == 1 ? PasteRule::detectron2 : PasteRule::torchvision;
    threshold = static_cast<float>(reader.number("threshold", 0.5));
  }
  /// Checks the inputs; returns [N, K].
  static Shape check(const char* op, const Specs& in) {
    require_dtype(op, "masks", in[0], DType::f32);
    require_boxes(op, "boxes", in[1], 3);
    require_rank(op, "boxes", in[1], 3);
    const Shape& masks = in[0].shape;
    const Shape rows{in[1].shape[0], in[1].shape[1]};
    const int rank = masks.rank();
    require((rank == 4 && masks[0] == rows[0] && masks[1] == rows[1]) || (rank == 3 && masks[0] == rows.elements()),
            ErrorCode::shape, op, ": masks must be [", rows[0], ", ", rows[1], ", mh, mw] or [", rows.elements(),
            ", mh, mw]; received ", masks);
    require(masks[rank - 1] <= 4096 && masks[rank - 2] <= 4096, ErrorCode::shape, op,
            ": masks have at most 4096 x 4096 values; received ", masks);
    require_dtype(op, "sizes", in[2], DType::i32);
    require_shape(op, "sizes", in[2], {rows[0], 4});
    require_image_counts(op, input_or_absent(in, 3), rows[0]);
    return rows;
  }
};

}  // namespace instaseg
