// decodeBoxes: boxes and regression deltas (dx, dy, dw, dh) to boxes (torchvision BoxCoder.decode), for C classes a
// box.
//   boxes  f32 [N, K, 4], or [1, K, 4] or [K, 4], which serve every image
//   deltas f32 [N, K, C * 4], or [rows, C * 4] with a row for each box
//   output f32 [N, K, C, 4], or [K, C, 4] where both inputs have two dimensions
#pragma once

#include "ops/box_rules.h"
#include "ops/decision_math.h"

namespace instaseg {

struct DecodeBoxes {
  static constexpr const char* name = "decodeBoxes";
  static constexpr const char* inputs[] = {"boxes", "deltas", "counts?"};

  float weights[4] = {1, 1, 1, 1};
  float clip = 0;

  static DecodeBoxes parse(AttributeReader& reader) {
    DecodeBoxes op;
    if (reader.has("weights")) {
      const std::vector<double> weights = reader.numbers("weights");
      require(weights.size() == 4, ErrorCode::argument, name, ": weights must be 4 numbers; received ", weights.size());
      for (int i = 0; i < 4; ++i) {
        op.weights[i] = static_cast<float>(weights[i]);
        require(op.weights[i] > 0, ErrorCode::argument, name, ": weights must be positive; received ", weights[i]);
      }
    }
    op.clip = static_cast<float>(reader.number("clip", std::log(1000.0 / 16)));
    return op;
  }
  /// Both ends of one side from its ends (low, high) and deltas; axis 0 is x, 1 is y.
  INSTASEG_DECISION void decode_axis(int axis, float low, float high, float shift, float stretch, float& out_low,
                                     float& out_high) const {
    const float side = high - low;
    const float centre = low + 0.5f * side;
    const float d = stretch / weights[2 + axis];
    const float at = shift / weights[axis] * side + centre;
    const float half = 0.5f * (exact_exp(d > clip ? clip : d) * side);
    out_low = at - half;
    out_high = at + half;
  }
  INSTASEG_DECISION Box decode(const Box& box, const Box& delta) const {
    Box out;
    decode_axis(0, box.x1, box.x2, delta.x1, delta.x2, out.x1, out.x2);
    decode_axis(1, box.y1, box.y2, delta.y1, delta.y2, out.y1, out.y2);
    return out;
  }
  Specs infer(const Specs& in) const {
    const TensorSpec& boxes = in[0];
    const TensorSpec& deltas = in[1];
    require_boxes(name, "boxes", boxes, 2);
    require_dtype(name, "deltas", deltas, DType::f32);
    const int box_rank = boxes.shape.rank();
    const int rank = deltas.shape.rank();
    require(box_rank <= 3 && (rank == 2 || rank == 3) && deltas.shape.back() % 4 == 0, ErrorCode::shape, name,
            ": expected boxes [N, K, 4] or [K, 4] and deltas [N, K, C * 4] or [K, C * 4]; received ", boxes.shape,
            " and ", deltas.shape);
    Shape shape;
    if (rank == 3) {
      shape = {deltas.shape[0], deltas.shape[1]};
    } else if (box_rank == 3) {
      shape = {boxes.shape[0], boxes.shape[1]};
    } else {
      shape = {boxes.shape[0]};
    }
    const int64_t rows = deltas.shape.elements(0, rank - 1);
    const int64_t box_count = boxes.shape.elements(0, box_rank - 1);
    const bool shared = rank == 3 && (box_rank == 2 || boxes.shape[0] == 1) && box_count == deltas.shape[1];
    const bool same = box_count == rows && (rank == 2 || box_rank == 2 || boxes.shape[1] == deltas.shape[1]);
    require(shared || same, ErrorCode::shape, name, ": boxes ", boxes.shape, " do not fit deltas ", deltas.shape);
    require_counts(name, input_or_absent(in, 2), rows);
    shape.append(deltas.shape.back() / 4);
    shape.append(4);
    return {{.dtype = DType::f32, .shape = shape}};
  }
};
inline const OpRegistration<DecodeBoxes> decode_boxes_registration;

}  // namespace instaseg
