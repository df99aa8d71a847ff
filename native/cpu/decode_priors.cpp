// decodePriors, variants:
//   reference  one box at a time
//   baseline   blocks of 64 boxes, transposed so that exp and the products vectorise; over all threads
//   avx2       the same, 8 lanes
// All give the same bits: no reductions, and exp is exact_exp.
#include "ops/decode_priors.h"

#include "cpu/rows.h"
#include "ops/decision_math.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  Problem(const DecodePriors& op, const KernelContext& context)
      : op(op),
        loc(context.inputs[0].f32()),
        priors(context.inputs[1].f32()),
        indices(input_or_absent(context, 2) ? context.inputs[2].i32() : nullptr),
        candidates(context.inputs[0].shape[1]),
        decoded(context.outputs[0].shape[1]),
        rows(context.outputs[0].elements() / 4, input_or_absent(context, 3)),
        output(context.outputs[0].as<float>()) {}

  /// The prior of an output row.
  int64_t prior(int64_t row) const {
    if (!indices) return row % decoded;
    const int64_t index = indices[row];
    require(index >= 0 && index < candidates, ErrorCode::argument, DecodePriors::name, ": index ", index, " of image ",
            row / decoded, " is outside the ", candidates, " priors");
    return index;
  }
  const float* deltas(int64_t row, int64_t prior) const { return loc + (row / decoded * candidates + prior) * 4; }

  const DecodePriors& op;
  const float* loc;
  const float* priors;
  const int32_t* indices;
  int64_t candidates;
  int64_t decoded;
  ValidRows rows;
  float* output;
};

void reference(const DecodePriors& op, const KernelContext& context) {
  const Problem p(op, context);
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const int64_t row = p.rows.row(i);
    const int64_t index = p.prior(row);
    reinterpret_cast<Box*>(p.output)[row] =
        op.decode(reinterpret_cast<const Box*>(p.priors)[index], *reinterpret_cast<const Box*>(p.deltas(row, index)));
  }
}

constexpr int kBlock = 64;

struct Lanes {
  float centre[kBlock], side[kBlock], shift[kBlock], stretch[kBlock];
};

INSTASEG_INLINE void axis(Lanes& lanes, float* low, float* high, float centre_variance, float size_variance) {
  // One step a loop: GCC vectorises these, but not all in one.
  for (int i = 0; i < kBlock; ++i) lanes.stretch[i] = exp_argument(lanes.stretch[i] * size_variance);
  for (int i = 0; i < kBlock; ++i) {
    const float side = lanes.side[i] * exact_exp_in_range(lanes.stretch[i]);
    low[i] = lanes.centre[i] + lanes.shift[i] * centre_variance * lanes.side[i] - side / 2.0f;
    high[i] = side + low[i];
  }
}

// Valid rows [begin, end).
INSTASEG_INLINE void span(const Problem& p, int64_t begin, int64_t end) {
  Lanes x{}, y{};
  float corners[4][kBlock];
  for (int64_t at = begin; at < end; at += kBlock) {
    const int count = static_cast<int>(std::min<int64_t>(kBlock, end - at));
    int64_t rows[kBlock];
    for (int lane = 0; lane < count; ++lane) {
      rows[lane] = p.rows.row(at + lane);
      const int64_t index = p.prior(rows[lane]);
      const float* prior = p.priors + index * 4;
      const float* delta = p.deltas(rows[lane], index);
      x.centre[lane] = prior[0];
      y.centre[lane] = prior[1];
      x.side[lane] = prior[2];
      y.side[lane] = prior[3];
      x.shift[lane] = delta[0];
      y.shift[lane] = delta[1];
      x.stretch[lane] = delta[2];
      y.stretch[lane] = delta[3];
    }
    axis(x, corners[0], corners[2], p.op.centre_variance, p.op.size_variance);
    axis(y, corners[1], corners[3], p.op.centre_variance, p.op.size_variance);
    for (int lane = 0; lane < count; ++lane) {
      for (int corner = 0; corner < 4; ++corner) p.output[rows[lane] * 4 + corner] = corners[corner][lane];
    }
  }
}
void span_baseline(const Problem& p, int64_t begin, int64_t end) { span(p, begin, end); }

template <void (*Span)(const Problem&, int64_t, int64_t)>
void parallel(const DecodePriors& op, const KernelContext& context) {
  const Problem p(op, context);
  context.parallel_for(p.rows.total(), 4096, [&](int64_t begin, int64_t end, int) { Span(p, begin, end); });
}

const KernelRegistration<DecodePriors> reference_row{{.run = reference}};
const KernelRegistration<DecodePriors> baseline_row{
    {.variant = "baseline", .rank = 10, .run = parallel<span_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void span_avx2(const Problem& p, int64_t begin, int64_t end) { span(p, begin, end); }
const KernelRegistration<DecodePriors> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<span_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
