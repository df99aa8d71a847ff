// selectCandidates, variants:
//   reference  all rows that pass, sorted by score where there are too many
//   baseline   rows over all threads, 16 scores a test: nearly all rows have no score above the threshold, and reading
//              them once is the whole cost. Then one pass an image over what is left (cpu/order.h)
// Both give the same lists.
#include "ops/select_candidates.h"

#include "cpu/best_class.h"
#include "cpu/groups.h"
#include "cpu/order.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  explicit Problem(const KernelContext& context)
      : scores(context.inputs[0].f32()),
        images(context.inputs[0].shape[0]),
        rows(context.inputs[0].shape[1]),
        classes(context.inputs[0].shape[2]),
        kept(context.outputs[0].shape[1]),
        indices(context.outputs[0].as<int32_t>()),
        counts(context.outputs[1].as<int32_t>()) {}

  /// The foreground scores of a row of all images.
  const float* foreground(int64_t row) const { return scores + row * classes + 1; }

  const float* scores;
  int64_t images;
  int64_t rows;
  int64_t classes;
  int64_t kept;
  int32_t* indices;
  int32_t* counts;
};

void reference(const SelectCandidates& op, const KernelContext& context) {
  const Problem p(context);
  for (int64_t image = 0; image < p.images; ++image) {
    const auto best = [&](int32_t row) { return best_class(p.foreground(image * p.rows + row), p.classes - 1).score; };
    std::vector<int32_t> passed;
    for (int32_t row = 0; row < p.rows; ++row) {
      if (best(row) > op.threshold) passed.push_back(row);
    }
    if (static_cast<int64_t>(passed.size()) > p.kept) {
      std::stable_sort(passed.begin(), passed.end(), [&](int32_t a, int32_t b) { return best(a) > best(b); });
      passed.resize(static_cast<size_t>(p.kept));
      std::sort(passed.begin(), passed.end());
    }
    std::copy(passed.begin(), passed.end(), p.indices + image * p.kept);
    p.counts[image] = static_cast<int32_t>(passed.size());
  }
}

constexpr int64_t kBlock = 16;

bool any_above(const float* x, int64_t count, float threshold) {
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    if (any_of_16_above(x + i, threshold)) return true;
  }
  for (; i < count; ++i) {
    if (x[i] > threshold) return true;
  }
  return false;
}

struct Scratch {
  Scratch(char* base, int64_t rows, int64_t kept, int threads) {
    Carver carver(base);
    best = carver.take<float>(rows);
    for (int i = 0; i < threads; ++i) selected.push_back(carver.take<uint64_t>(Selector::capacity(kept)));
    bytes = carver.used();
  }
  float* best;  ///< of the rows of all images; NaN where a row does not pass
  std::vector<uint64_t*> selected;
  size_t bytes;
};

size_t workspace(const SelectCandidates&, const Specs& in, const Specs& out, int threads) {
  return Scratch(nullptr, in[0].shape[0] * in[0].shape[1], out[0].shape[1], threads).bytes;
}

void baseline(const SelectCandidates& op, const KernelContext& context) {
  const Problem p(context);
  const Scratch scratch(context.workspace, p.images * p.rows, p.kept, context.pool.threads());
  context.parallel_for(p.images * p.rows, (1 << 15) / p.classes + 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const float* x = p.foreground(row);
      const bool above = any_above(x, p.classes - 1, op.threshold);
      scratch.best[row] = above ? best_class(x, p.classes - 1).score : NAN;
    }
  });
  context.parallel_for(p.images, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t image = begin; image < end; ++image) {
      const float* best = scratch.best + image * p.rows;
      Selector selector(scratch.selected[static_cast<size_t>(thread)], p.kept);
      for (int64_t first = 0; first < p.rows; first += kBlock) {
        const int64_t last = std::min(first + kBlock, p.rows);
        if (last - first == kBlock && !any_of_16_above(best + first, op.threshold)) continue;
        for (int64_t row = first; row < last; ++row) {
          if (best[row] > op.threshold) selector.push(order_pair(descending_key(best[row]), row));
        }
      }
      const int64_t count = selector.finish();
      uint64_t* pairs = selector.pairs();
      if (selector.full()) {
        std::sort(pairs, pairs + count, [](uint64_t a, uint64_t b) { return pair_index(a) < pair_index(b); });
      }
      for (int64_t i = 0; i < count; ++i) p.indices[image * p.kept + i] = pair_index(pairs[i]);
      p.counts[image] = static_cast<int32_t>(count);
    }
  });
}

const KernelRegistration<SelectCandidates> reference_row{{.run = reference}};
const KernelRegistration<SelectCandidates> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = baseline}};

}  // namespace
}  // namespace instaseg::cpu
