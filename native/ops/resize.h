// resize over NHWC as torch.nn.functional.interpolate: bilinear (no antialiasing), nearest, or nearest at pixel
// centres.
#pragma once

#include <vector>

#include "ops/shape_rules.h"

namespace instaseg {

struct Resize {
  enum Mode { bilinear, nearest, nearest_exact };

  Mode mode = bilinear;
  /// [height, width], or empty where `scale` is given.
  std::vector<int64_t> size;
  /// [y, x] factors, or empty where `size` is given; the output has floor(input * factor) pixels.
  std::vector<double> scale;
  bool align_corners = false;
  /// Coordinates use output / input instead of the given factor.
  bool recompute_scale = false;

  static constexpr const char* name = "resize";
  static constexpr const char* inputs[] = {"input"};
  static Resize parse(AttributeReader& reader) {
    Resize op;
    op.mode = static_cast<Mode>(reader.choice("mode", {"bilinear", "nearest", "nearestExact"}));
    require(reader.has("size") != reader.has("scale"), ErrorCode::argument, name, ": give either size or scale");
    if (reader.has("size")) {
      const Pair size = reader.pair("size");
      require_positive(name, "size", size);
      op.size = {size.y, size.x};
    } else {
      op.scale = reader.numbers("scale");
      require(op.scale.size() == 1 || op.scale.size() == 2, ErrorCode::argument, name,
              ": scale must be a number or [y, x]; received ", op.scale.size(), " numbers");
      op.scale = {op.scale.front(), op.scale.back()};
      for (double factor : op.scale) {
        require(factor > 0 && factor < 1e6, ErrorCode::argument, name, ": scale must be positive; received ", factor);
      }
    }
    op.align_corners = reader.flag("alignCorners");
    op.recompute_scale = reader.flag("recomputeScale");
    require(op.mode == bilinear || !op.align_corners, ErrorCode::argument, name,
            ": alignCorners goes with mode bilinear only");
    require(op.size.empty() || !op.recompute_scale, ErrorCode::argument, name,
            ": recomputeScale goes with scale, not with size");
    return op;
  }
  Specs infer(const Specs& in) const {
    require_float(name, "input", in[0]);
    require_rank(name, "input", in[0], 4);
    const Shape& shape = in[0].shape;
    require(shape[1] > 0 && shape[2] > 0 && shape[1] < (1 << 24) && shape[2] < (1 << 24), ErrorCode::shape, name,
            ": height and width must be positive and below 2^24; received ", shape);
    return {{.dtype = in[0].dtype, .shape = {shape[0], output_size(0, shape[1]), output_size(1, shape[2]), shape[3]}}};
  }
  double flops(const Specs&, const Specs& out) const {
    return mode == bilinear ? 6.0 * static_cast<double>(out[0].shape.elements()) : 0.0;
  }

  /// Input pixels an output pixel on axis 0 (y) or 1 (x), in f32 as PyTorch computes it.
  float step(size_t axis, int64_t input, int64_t output) const {
    if (align_corners) {
      return output > 1 ? static_cast<float>(input - 1) / static_cast<float>(output - 1) : 0.0f;
    }
    if (!scale.empty() && !recompute_scale) return static_cast<float>(1.0 / scale[axis]);
    return static_cast<float>(input) / static_cast<float>(output);
  }

  /// For nearest_pixel (ops/linear_axis.h).
  float nearest_offset() const { return mode == nearest_exact ? 0.5f : 0.0f; }

 private:
  int64_t output_size(size_t axis, int64_t input) const {
    if (!size.empty()) return size[axis];
    const double output = std::floor(static_cast<double>(input) * scale[axis]);
    require(output >= 1 && output < (1 << 20), ErrorCode::shape, name, ": scale ", scale[axis], " of size ", input,
            " gives ", output, " pixels");
    return static_cast<int64_t>(output);
  }
};
inline const OpRegistration<Resize> resize_registration;

}  // namespace instaseg
