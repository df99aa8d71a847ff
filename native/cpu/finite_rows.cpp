// finiteRows, variants:
//   reference  value by value
//   baseline   images over all threads; the bits of a row's values are tested together (vectorised)
//   avx2       the same, 8 lanes
#include "ops/finite_rows.h"

#include <bit>
#include <cmath>

#include "cpu/groups.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  explicit Problem(const KernelContext& context)
      : boxes(context.inputs[0].as<uint32_t>()),
        scores(context.inputs[1].as<uint32_t>()),
        images(context.inputs[0].shape[0]),
        capacity(context.inputs[0].shape[1]),
        box_width(context.inputs[0].shape.elements(2, context.inputs[0].shape.rank())),
        score_width(context.inputs[1].shape.elements(2, context.inputs[1].shape.rank())),
        counts(capacity, input_or_absent(context, 2)),
        indices(context.outputs[0].as<int32_t>()),
        kept_counts(context.outputs[1].as<int32_t>()) {}

  const uint32_t* boxes;  ///< the bits of the numbers
  const uint32_t* scores;
  int64_t images;
  int64_t capacity;
  int64_t box_width;
  int64_t score_width;
  ImageCounts counts;
  int32_t* indices;
  int32_t* kept_counts;
};

/// Writes the rows of an image for which `Finite` holds.
template <bool (*Finite)(const uint32_t*, int64_t)>
INSTASEG_INLINE void select(const Problem& p, int64_t image) {
  int32_t kept = 0;
  for (int64_t k = 0; k < p.counts[image]; ++k) {
    const int64_t row = image * p.capacity + k;
    if (!Finite(p.boxes + row * p.box_width, p.box_width)) continue;
    if (!Finite(p.scores + row * p.score_width, p.score_width)) continue;
    p.indices[image * p.capacity + kept++] = static_cast<int32_t>(k);
  }
  p.kept_counts[image] = kept;
}

bool each_is_finite(const uint32_t* bits, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(std::bit_cast<float>(bits[i]))) return false;
  }
  return true;
}
void reference(const FiniteRows&, const KernelContext& context) {
  const Problem p(context);
  for (int64_t image = 0; image < p.images; ++image) select<each_is_finite>(p, image);
}

/// NaN and infinities are what has all bits of the exponent.
INSTASEG_INLINE bool all_are_finite(const uint32_t* __restrict bits, int64_t count) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t found = 0;
  for (int64_t i = 0; i < count; ++i) found |= (bits[i] & kExponent) == kExponent ? 1u : 0u;
  return found == 0;
}
void select_baseline(const Problem& p, int64_t image) { select<all_are_finite>(p, image); }

template <void (*Select)(const Problem&, int64_t)>
void parallel(const FiniteRows&, const KernelContext& context) {
  const Problem p(context);
  context.parallel_for(p.images, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t image = begin; image < end; ++image) Select(p, image);
  });
}

const KernelRegistration<FiniteRows> reference_row{{.run = reference}};
const KernelRegistration<FiniteRows> baseline_row{
    {.variant = "baseline", .rank = 10, .run = parallel<select_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void select_avx2(const Problem& p, int64_t image) { select<all_are_finite>(p, image); }
const KernelRegistration<FiniteRows> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<select_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
