// decodeBoxes, variants:
//   reference  one box at a time
//   baseline   blocks of 64 boxes, transposed so that the divisions, exp and products vectorise; over all threads
//   avx2       the same, 8 lanes
// All give the same bits: no reductions, and exp is exact_exp.
#include "ops/decode_boxes.h"

#include "cpu/rows.h"
#include "ops/decision_math.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  Problem(const DecodeBoxes& op, const KernelContext& context)
      : op(op),
        boxes(context.inputs[0].f32()),
        deltas(context.inputs[1].f32()),
        box_count(context.inputs[0].elements() / 4),
        classes(context.outputs[0].shape[context.outputs[0].shape.rank() - 2]),
        rows(classes ? context.outputs[0].elements() / 4 / classes : 0, input_or_absent(context, 2)),
        output(context.outputs[0].as<float>()) {}

  const DecodeBoxes& op;
  const float* boxes;
  const float* deltas;
  int64_t box_count;
  int64_t classes;
  ValidRows rows;
  float* output;
};

void reference(const DecodeBoxes& op, const KernelContext& context) {
  const Problem p(op, context);
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const int64_t row = p.rows.row(i);
    const Box& box = reinterpret_cast<const Box*>(p.boxes)[row % p.box_count];
    for (int64_t at = row * p.classes; at < (row + 1) * p.classes; ++at) {
      reinterpret_cast<Box*>(p.output)[at] = op.decode(box, reinterpret_cast<const Box*>(p.deltas)[at]);
    }
  }
}

constexpr int kBlock = 64;

struct Lanes {
  float origin[kBlock], side[kBlock], shift[kBlock], stretch[kBlock];
};

INSTASEG_INLINE void axis(Lanes& lanes, float* low, float* high, float shift_weight, float stretch_weight, float clip) {
  // One step a loop: GCC vectorises these, but not all in one.
  for (int i = 0; i < kBlock; ++i) lanes.stretch[i] /= stretch_weight;
  for (int i = 0; i < kBlock; ++i) lanes.stretch[i] = lanes.stretch[i] > clip ? clip : lanes.stretch[i];
  for (int i = 0; i < kBlock; ++i) lanes.stretch[i] = exp_argument(lanes.stretch[i]);
  for (int i = 0; i < kBlock; ++i) {
    const float centre = lanes.shift[i] / shift_weight * lanes.side[i] + (lanes.origin[i] + 0.5f * lanes.side[i]);
    const float half = 0.5f * (exact_exp_in_range(lanes.stretch[i]) * lanes.side[i]);
    low[i] = centre - half;
    high[i] = centre + half;
  }
}

// Output boxes [begin, end) of the valid ones.
INSTASEG_INLINE void span(const Problem& p, int64_t begin, int64_t end) {
  Lanes x{}, y{};
  float corners[4][kBlock];
  for (int64_t at = begin; at < end; at += kBlock) {
    const int count = static_cast<int>(std::min<int64_t>(kBlock, end - at));
    int64_t target[kBlock];
    int64_t i = at / p.classes;
    int64_t c = at % p.classes;
    int64_t row = p.rows.row(i);
    for (int lane = 0; lane < count; ++lane) {
      if (c == p.classes) {
        c = 0;
        row = p.rows.row(++i);
      }
      const float* box = p.boxes + row % p.box_count * 4;
      target[lane] = (row * p.classes + c++) * 4;
      const float* delta = p.deltas + target[lane];
      x.origin[lane] = box[0];
      y.origin[lane] = box[1];
      x.side[lane] = box[2] - box[0];
      y.side[lane] = box[3] - box[1];
      x.shift[lane] = delta[0];
      y.shift[lane] = delta[1];
      x.stretch[lane] = delta[2];
      y.stretch[lane] = delta[3];
    }
    axis(x, corners[0], corners[2], p.op.weights[0], p.op.weights[2], p.op.clip);
    axis(y, corners[1], corners[3], p.op.weights[1], p.op.weights[3], p.op.clip);
    for (int lane = 0; lane < count; ++lane) {
      for (int corner = 0; corner < 4; ++corner) p.output[target[lane] + corner] = corners[corner][lane];
    }
  }
}
void span_baseline(const Problem& p, int64_t begin, int64_t end) { span(p, begin, end); }

template <void (*Span)(const Problem&, int64_t, int64_t)>
void parallel(const DecodeBoxes& op, const KernelContext& context) {
  const Problem p(op, context);
  context.parallel_for(p.rows.total() * p.classes, 4096, [&](int64_t begin, int64_t end, int) { Span(p, begin, end); });
}

const KernelRegistration<DecodeBoxes> reference_row{{.run = reference}};
const KernelRegistration<DecodeBoxes> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel<span_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void span_avx2(const Problem& p, int64_t begin, int64_t end) { span(p, begin, end); }
const KernelRegistration<DecodeBoxes> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<span_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
