// decodePriors: YOLACT's (SSD's) box coding, as dbolya/yolact box_utils.decode computes it in f32: centre
// prior + loc * variance * side, side prior * exp(loc * variance), then corners. No limit of exp, no clipping.
//   loc     f32 [N, M, 4] (dx, dy, dw, dh), priors f32 [M, 4] (cx, cy, w, h)
//   indices i32 [N, K]: the priors to decode; one outside [0, M) is ERR_ARGUMENT when the op runs. Absent: all
//   output  f32 [N, K, 4], or [N, M, 4] (x1, y1, x2, y2)
#pragma once

#include "ops/box_rules.h"
#include "ops/decision_math.h"

namespace instaseg {

struct DecodePriors {
  static constexpr const char* name = "decodePriors";
  static constexpr const char* inputs[] = {"loc", "priors", "indices?", "counts?"};

  float centre_variance = 0.1f;
  float size_variance = 0.2f;

  static DecodePriors parse(AttributeReader& reader) {
    DecodePriors op;
    if (reader.has("variances")) {
      const std::vector<double> variances = reader.numbers("variances");
      require(variances.size() == 2, ErrorCode::argument, name, ": variances must be 2 numbers; received ",
              variances.size());
      op.centre_variance = static_cast<float>(variances[0]);
      op.size_variance = static_cast<float>(variances[1]);
    }
    return op;
  }
  /// A prior (cx, cy, w, h) moved by its deltas.
  INSTASEG_DECISION Box decode(const Box& prior, const Box& delta) const {
    const float width = prior.x2 * exact_exp(delta.x2 * size_variance);
    const float height = prior.y2 * exact_exp(delta.y2 * size_variance);
    const float x = prior.x1 + delta.x1 * centre_variance * prior.x2;
    const float y = prior.y1 + delta.y1 * centre_variance * prior.y2;
    Box out;
    out.x1 = x - width / 2.0f;
    out.y1 = y - height / 2.0f;
    out.x2 = width + out.x1;
    out.y2 = height + out.y1;
    return out;
  }
  Specs infer(const Specs& in) const {
    require_boxes(name, "loc", in[0], 3);
    require_rank(name, "loc", in[0], 3);
    const Shape& loc = in[0].shape;
    require_dtype(name, "priors", in[1], DType::f32);
    require_shape(name, "priors", in[1], {loc[1], 4});
    Shape shape = loc;
    const TensorSpec& indices = input_or_absent(in, 2);
    if (!indices.absent) {
      require_dtype(name, "indices", indices, DType::i32);
      require_rank(name, "indices", indices, 2);
      shape[1] = indices.shape[1];
      require_shape(name, "indices", indices, {shape[0], shape[1]});
    }
    require_image_counts(name, input_or_absent(in, 3), shape[0]);
    return {{.dtype = DType::f32, .shape = shape}};
  }
};
inline const OpRegistration<DecodePriors> decode_priors_registration;

}  // namespace instaseg
