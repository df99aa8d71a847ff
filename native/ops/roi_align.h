// roiAlign: regions of a feature pyramid sampled to a fixed size (torchvision.ops.roi_align; with several levels
// MultiScaleRoIAlign, in one call).
//   boxes    f32 [N, K, 4] in image coordinates; counts i32 [N]
//   features f32 [N, H_l, W_l, C], one map a level, finest first
//   output   f32 [N * K, ph, pw, C]
// A sample counts only where -1 <= y <= H and -1 <= x <= W, and is clamped to the map; a bin is the average over its
// sampling grid. Regions are at least 1 x 1 unless aligned. With several levels, a box whose area is negative or NaN
// belongs to none and gives zeros, as in torchvision.
#pragma once

#include "ops/box_rules.h"
#include "ops/decision_math.h"

namespace instaseg {

struct RoiAlign {
  static constexpr const char* name = "roiAlign";
  static constexpr const char* inputs[] = {"boxes", "counts?", "features..."};

  Pair output;
  int64_t sampling_ratio = 0;
  bool aligned = false;
  std::vector<float> scales;
  float canonical_scale = 224;
  float canonical_level = 4;
  float min_level = 0;
  float max_level = 0;
  bool epsilon_inside = false;
  float epsilon = 0;

  static RoiAlign parse(AttributeReader& reader) {
    RoiAlign op;
    op.output = reader.pair("output");
    require_positive(name, "output", op.output);
    op.sampling_ratio = reader.integer("samplingRatio", 0);
    require(op.sampling_ratio >= 0 && op.sampling_ratio <= 1024, ErrorCode::argument, name,
            ": samplingRatio must be 0 (adaptive) to 1024; received ", op.sampling_ratio);
    op.aligned = reader.flag("aligned");
    for (double scale : reader.numbers("scales")) {
      op.scales.push_back(static_cast<float>(scale));
      require(op.scales.back() > 0 && op.scales.back() < 1e6f, ErrorCode::argument, name,
              ": scales must be positive; received ", scale);
    }
    require(!op.scales.empty(), ErrorCode::argument, name, ": scales must not be empty");
    op.canonical_scale = static_cast<float>(reader.number("canonicalScale", 224));
    op.canonical_level = static_cast<float>(reader.number("canonicalLevel", 4));
    op.epsilon_inside = reader.choice("levelRule", {"torchvision", "detectron2"}) == 1;
    op.epsilon = static_cast<float>(reader.number("levelEpsilon", op.epsilon_inside ? 1e-8 : 1e-6));
    // Whole numbers, cut off as torchvision does.
    const double finest = std::trunc(-std::log2(static_cast<double>(op.scales.front())));
    const double coarsest = std::trunc(-std::log2(static_cast<double>(op.scales.back())));
    op.min_level = static_cast<float>(reader.integer("minLevel", static_cast<int64_t>(finest)));
    op.max_level = op.min_level + static_cast<float>(coarsest - finest);
    return op;
  }
  int64_t levels() const { return static_cast<int64_t>(scales.size()); }
  Specs infer(const Specs& in) const {
    require_boxes(name, "boxes", in[0], 3);
    require_rank(name, "boxes", in[0], 3);
    const int64_t images = in[0].shape[0];
    require_image_counts(name, in[1], images);
    require(static_cast<int64_t>(in.size()) - 2 == levels(), ErrorCode::shape, name, ": ", levels(), " scales for ",
            static_cast<int64_t>(in.size()) - 2, " feature maps");
    for (size_t level = 2; level < in.size(); ++level) {
      const std::string input = "features[" + std::to_string(level - 2) + "]";
      require_dtype(name, input.c_str(), in[level], DType::f32);
      require_rank(name, input.c_str(), in[level], 4);
      const Shape& shape = in[level].shape;
      require(shape[0] == images && shape[3] == in[2].shape[3], ErrorCode::shape, name, ": ", input, " must be [",
              images, ", H, W, ", in[2].shape[3], "]; received ", shape);
      require(shape[1] < (1 << 24) && shape[2] < (1 << 24), ErrorCode::shape, name, ": ", input,
              " is too large: ", shape);
    }
    return {{.dtype = DType::f32, .shape = {images * in[0].shape[1], output.y, output.x, in[2].shape[3]}}};
  }
  double flops(const Specs&, const Specs& out) const {
    const double samples = sampling_ratio ? static_cast<double>(sampling_ratio * sampling_ratio) : 4.0;
    return 8.0 * samples * static_cast<double>(out[0].shape.elements());
  }

  /// Pyramid level of a box, or -1 for none: floor(canonicalLevel + log2(sqrt(area) / canonicalScale) + epsilon),
  /// clamped to the levels of the first and last scale; the detectron2 rule adds its epsilon to the quotient. log2 is
  /// taken in f64 and rounded once.
  int64_t level(const Box& box) const {
    if (levels() == 1) return 0;
    const float quotient = std::sqrt(box_area(box)) / canonical_scale;
    float level;
    if (epsilon_inside) {
      level = std::floor(canonical_level + static_cast<float>(std::log2(static_cast<double>(quotient + epsilon))));
    } else {
      level = std::floor(canonical_level + static_cast<float>(std::log2(static_cast<double>(quotient))) + epsilon);
    }
    const float map = lesser(greater(level, min_level), max_level) - min_level;
    return map >= 0 && map < static_cast<float>(levels()) && level == level ? static_cast<int64_t>(map) : -1;
  }
};
inline const OpRegistration<RoiAlign> roi_align_registration;

}  // namespace instaseg
