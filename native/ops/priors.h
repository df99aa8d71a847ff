// priors: YOLACT's prior boxes of one feature map, f32 [h * w * A, 4] as centre x, centre y, width, height, relative to
// the image, in the order y, x, scale, ratio (dbolya/yolact PredictionModule.make_priors). No inputs. Computed in f64
// and rounded once.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct Priors {
  static constexpr const char* name = "priors";
  static constexpr std::array<const char*, 0> inputs{};

  Pair grid;
  /// Width and height of the A priors of a cell.
  std::vector<float> sides;

  static Priors parse(AttributeReader& reader) {
    Priors op;
    op.grid = reader.pair("grid");
    require(op.grid.y >= 0 && op.grid.x >= 0 && op.grid.y < (1 << 20) && op.grid.x < (1 << 20), ErrorCode::argument,
            name, ": grid must be [height, width]; received [", op.grid.y, ", ", op.grid.x, "]");
    const double max_size = positive("maxSize", reader.number("maxSize"));
    const std::vector<double> scales = reader.numbers("scales");
    const std::vector<double> ratios = reader.numbers("ratios");
    require(!scales.empty() && !ratios.empty(), ErrorCode::argument, name, ": scales and ratios must not be empty");
    // YOLACT's base models were trained with a height that repeats the width by accident; it belongs to their weights.
    const bool square = reader.flag("square");
    for (double scale : scales) {
      for (double ratio : ratios) {
        const double root = std::sqrt(positive("ratios", ratio));
        const double width = positive("scales", scale) * root / max_size;
        op.sides.push_back(static_cast<float>(width));
        op.sides.push_back(static_cast<float>(square ? width : scale / root / max_size));
      }
    }
    return op;
  }
  int64_t priors() const { return static_cast<int64_t>(sides.size()) / 2; }
  Specs infer(const Specs&) const { return {{.dtype = DType::f32, .shape = {grid.y * grid.x * priors(), 4}}}; }

 private:
  static double positive(const char* attribute, double value) {
    require(value > 0 && std::isfinite(value), ErrorCode::argument, name, ": ", attribute,
            " must be positive; received ", value);
    return value;
  }
};
inline const OpRegistration<Priors> priors_registration;

}  // namespace instaseg
