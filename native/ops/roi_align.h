// roiAlign: regions of a feature pyramid sampled to a fixed size (torchvision.ops.roi_align; with several levels
// MultiScaleRoIAlign, in one call).
//   boxes    f32 [N, K, 4] in image coordinates; counts i32 [N]
//   features f32, f16 or bf16 [N, H_l, W_l, C], one map a level, finest first
//   output   [N * K, ph, pw, C] in the features' dtype; sums are f32
// A sample counts only where -1 <= y <= H and -1 <= x <= W, and is clamped to the map; a bin is the average over its
// sampling grid. Regions are at least 1 x 1 unless aligned. With several levels, a box whose area is negative or NaN
// belongs to none and gives zeros, as in torchvision.
#pragma once

#include "ops/box_rules.h"
#include "ops/roi_sampling.h"

namespace instaseg {

struct RoiAlign {
  static constexpr const char* name = "roiAlign";
  static constexpr const char* inputs[] = {"boxes", "counts?", "features..."};

  Pair output;
  RoiRule rule;
  std::vector<float> scales;
  RoiLevels levels;

  static RoiAlign parse(AttributeReader& reader) {
    RoiAlign op;
    op.output = reader.pair("output");
    require_positive(name, "output", op.output);
    op.rule.sampling_ratio = reader.integer("samplingRatio", 0);
    require(op.rule.sampling_ratio >= 0 && op.rule.sampling_ratio <= 1024, ErrorCode::argument, name,
            ": samplingRatio must be 0 (adaptive) to 1024; received ", op.rule.sampling_ratio);
    op.rule.aligned = reader.flag("aligned");
    for (double scale : reader.numbers("scales")) {
      op.scales.push_back(static_cast<float>(scale));
      require(op.scales.back() > 0 && op.scales.back() < 1e6f, ErrorCode::argument, name,
              ": scales must be positive; received ", scale);
    }
    op.levels.count = static_cast<int64_t>(op.scales.size());
    require(!op.scales.empty(), ErrorCode::argument, name, ": scales must not be empty");
    op.levels.canonical_scale = static_cast<float>(reader.number("canonicalScale", 224));
    op.levels.canonical_level = static_cast<float>(reader.number("canonicalLevel", 4));
    op.levels.epsilon_inside = reader.choice("levelRule", {"torchvision", "detectron2"}) == 1;
    op.levels.epsilon = static_cast<float>(reader.number("levelEpsilon", op.levels.epsilon_inside ? 1e-8 : 1e-6));
    // Whole numbers, cut off as torchvision does.
    const double finest = std::trunc(-std::log2(static_cast<double>(op.scales.front())));
    const double coarsest = std::trunc(-std::log2(static_cast<double>(op.scales.back())));
    op.levels.min_level = static_cast<float>(reader.integer("minLevel", static_cast<int64_t>(finest)));
    op.levels.max_level = op.levels.min_level + static_cast<float>(coarsest - finest);
    return op;
  }
  Specs infer(const Specs& in) const {
    require_boxes(name, "boxes", in[0], 3);
    require_rank(name, "boxes", in[0], 3);
    const int64_t images = in[0].shape[0];
    require_image_counts(name, in[1], images);
    require(static_cast<int64_t>(in.size()) - 2 == levels.count, ErrorCode::shape, name, ": ", levels.count,
            " scales for ", static_cast<int64_t>(in.size()) - 2, " feature maps");
    for (size_t level = 2; level < in.size(); ++level) {
      const std::string input = "features[" + std::to_string(level - 2) + "]";
      require_float(name, input.c_str(), in[level]);
      require_dtype(name, input.c_str(), in[level], in[2].dtype);
      require_rank(name, input.c_str(), in[level], 4);
      const Shape& shape = in[level].shape;
      require(shape[0] == images && shape[3] == in[2].shape[3], ErrorCode::shape, name, ": ", input, " must be [",
              images, ", H, W, ", in[2].shape[3], "]; received ", shape);
      require(shape[1] < (1 << 24) && shape[2] < (1 << 24), ErrorCode::shape, name, ": ", input,
              " is too large: ", shape);
    }
    return {{.dtype = in[2].dtype, .shape = {images * in[0].shape[1], output.y, output.x, in[2].shape[3]}}};
  }
  double flops(const Specs&, const Specs& out) const {
    const double samples = rule.sampling_ratio ? static_cast<double>(rule.sampling_ratio * rule.sampling_ratio) : 4.0;
    return 8.0 * samples * static_cast<double>(out[0].shape.elements());
  }
};
inline const OpRegistration<RoiAlign> roi_align_registration;

}  // namespace instaseg
