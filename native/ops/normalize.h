// normalize: (x * scale - mean) / std over the channels of u8 or f32 images [N, H, W, C], to f32; with swapChannels the
// channels are reversed first (BGR to RGB or back), mean and std being those of the output's channels.
#pragma once

#include <vector>

#include "ops/shape_rules.h"

namespace instaseg {

struct Normalize {
  std::vector<double> mean;
  std::vector<double> std;
  double scale = 1;
  bool swap_channels = false;

  static constexpr const char* name = "normalize";
  static constexpr const char* inputs[] = {"input"};
  static Normalize parse(AttributeReader& reader) {
    Normalize op{.mean = reader.numbers("mean"),
                 .std = reader.numbers("std"),
                 .scale = reader.number("scale", 1),
                 .swap_channels = reader.flag("swapChannels")};
    for (double value : op.std) {
      require(value > 0, ErrorCode::argument, name, ": std must be positive; received ", value);
    }
    return op;
  }
  Specs infer(const Specs& in) const {
    require_rank(name, "input", in[0], 4);
    const size_t channels = static_cast<size_t>(in[0].shape[3]);
    require(mean.size() == channels && std.size() == channels, ErrorCode::argument, name, ": mean and std must have ",
            channels, " numbers; received ", mean.size(), " and ", std.size());
    return {{.dtype = DType::f32, .shape = in[0].shape}};
  }
  double flops(const Specs& in, const Specs&) const { return 3.0 * static_cast<double>(in[0].shape.elements()); }
};
inline const OpRegistration<Normalize> normalize_registration;

}  // namespace instaseg
