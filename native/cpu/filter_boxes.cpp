// filterBoxes, variants:
//   reference  all candidates that pass, sorted by score where there are too many
//   baseline   images over all threads; blocks of 16 scores are skipped by one vector test, the rest goes through a
//              linear-time selection (cpu/order.h)
//   avx2       the same, 8 lanes
#include "ops/filter_boxes.h"

#include "cpu/groups.h"
#include "cpu/order.h"
#include "ops/decision_math.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  Problem(const FilterBoxes& op, const KernelContext& context)
      : op(op),
        boxes(context.inputs[0].as<Box>()),
        scores(context.inputs[1].f32()),
        images(context.inputs[0].shape[0]),
        candidates(FilterBoxes::candidates(context.inputs[1].shape)),
        kept(context.outputs[0].shape[1]),
        counts(candidates / op.classes, input_or_absent(context, 2)),
        indices(context.outputs[0].as<int32_t>()),
        classes(context.outputs[1].as<int32_t>()),
        kept_counts(context.outputs[2].as<int32_t>()) {}

  void write(int64_t image, int64_t position, int32_t index) const {
    indices[image * kept + position] = index;
    classes[image * kept + position] = static_cast<int32_t>(index % op.classes);
  }

  const FilterBoxes& op;
  const Box* boxes;
  const float* scores;
  int64_t images;
  int64_t candidates;
  int64_t kept;
  ImageCounts counts;
  int32_t* indices;
  int32_t* classes;
  int32_t* kept_counts;
};

void reference(const FilterBoxes& op, const KernelContext& context) {
  const Problem p(op, context);
  for (int64_t image = 0; image < p.images; ++image) {
    const Box* boxes = p.boxes + image * p.candidates;
    const float* scores = p.scores + image * p.candidates;
    std::vector<int32_t> passed;
    for (int64_t m = 0; m < p.counts[image] * op.classes; ++m) {
      if (p.op.passes(boxes[m], scores[m], m)) passed.push_back(static_cast<int32_t>(m));
    }
    if (static_cast<int64_t>(passed.size()) > p.kept) {
      std::stable_sort(passed.begin(), passed.end(), [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
      passed.resize(static_cast<size_t>(p.kept));
      std::sort(passed.begin(), passed.end());
    }
    for (size_t i = 0; i < passed.size(); ++i) p.write(image, static_cast<int64_t>(i), passed[i]);
    p.kept_counts[image] = static_cast<int32_t>(passed.size());
  }
}

constexpr int64_t kBlock = 16;

INSTASEG_INLINE void select(const Problem& p, int64_t image, Selector& selector) {
  const Box* boxes = p.boxes + image * p.candidates;
  const float* scores = p.scores + image * p.candidates;
  const int64_t count = p.counts[image] * p.op.classes;
  const float threshold = p.op.score_threshold;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, count);
    if (end - begin == kBlock && !any_of_16_above(scores + begin, threshold)) continue;
    for (int64_t m = begin; m < end; ++m) {
      if (p.op.passes(boxes[m], scores[m], m)) selector.push(order_pair(descending_key(scores[m]), m));
    }
  }
}
void select_baseline(const Problem& p, int64_t image, Selector& selector) { select(p, image, selector); }

size_t workspace(const FilterBoxes&, const Specs&, const Specs& out, int threads) {
  Carver carver(nullptr);
  for (int i = 0; i < threads; ++i) carver.take<uint64_t>(Selector::capacity(out[0].shape[1]));
  return carver.used();
}

template <void (*Select)(const Problem&, int64_t, Selector&)>
void parallel(const FilterBoxes& op, const KernelContext& context) {
  const Problem p(op, context);
  context.parallel_for(p.images, 1, [&](int64_t begin, int64_t end, int thread) {
    Carver carver(context.workspace);
    uint64_t* buffer = nullptr;
    for (int i = 0; i <= thread; ++i) buffer = carver.take<uint64_t>(Selector::capacity(p.kept));
    for (int64_t image = begin; image < end; ++image) {
      Selector selector(buffer, p.kept);
      Select(p, image, selector);
      const int64_t count = selector.finish();
      if (selector.full()) {
        std::sort(buffer, buffer + count, [](uint64_t a, uint64_t b) { return pair_index(a) < pair_index(b); });
      }
      for (int64_t i = 0; i < count; ++i) p.write(image, i, pair_index(buffer[i]));
      p.kept_counts[image] = static_cast<int32_t>(count);
    }
  });
}

const KernelRegistration<FilterBoxes> reference_row{{.run = reference}};
const KernelRegistration<FilterBoxes> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = parallel<select_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void select_avx2(const Problem& p, int64_t image, Selector& selector) { select(p, image, selector); }
const KernelRegistration<FilterBoxes> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .workspace = workspace, .run = parallel<select_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
