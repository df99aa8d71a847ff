// fastNms, variants:
//   reference  the definition: every list sorted whole, every box against those before it
//   baseline   classes over all threads: linear-time selection of the best (cpu/order.h), each box against those
//              before it, 8 at a time (cpu/suppression.h); then one merge an image
//   avx2       the same with AVX2 comparisons
// No IoU matrix. All variants do the same f32 operations, and a list is worked by one thread: the same results.
#include "ops/fast_nms.h"

#include "cpu/best_class.h"
#include "cpu/groups.h"
#include "cpu/order.h"
#include "cpu/suppression.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  Problem(const FastNms& op, const KernelContext& context)
      : op(op),
        boxes(context.inputs[0].as<Box>()),
        scores(context.inputs[1].f32() + (op.background ? 1 : 0)),
        images(context.inputs[0].shape[0]),
        candidates(context.inputs[0].shape[1]),
        stride(context.inputs[1].shape[2]),
        classes(op.classes(context.inputs[1].shape)),
        kept(context.outputs[0].shape[1]),
        counts(candidates, input_or_absent(context, 2)),
        indices(context.outputs[0].as<int32_t>()),
        labels(context.outputs[1].as<int32_t>()),
        kept_scores(context.outputs[2].as<float>()),
        kept_counts(context.outputs[3].as<int32_t>()) {}

  const float* class_scores(int64_t image, int64_t candidate) const {
    return scores + (image * candidates + candidate) * stride;
  }
  /// As the suppression sees it.
  Box box(int64_t image, int64_t candidate) const {
    const Box& b = boxes[image * candidates + candidate];
    if (op.kind != FastNms::traditional) return b;
    return {b.x1 * op.max_size, b.y1 * op.max_size, b.x2 * op.max_size, b.y2 * op.max_size};
  }
  void write(int64_t image, int64_t at, int64_t candidate, int64_t label) const {
    const int64_t i = image * kept + at;
    indices[i] = static_cast<int32_t>(candidate);
    labels[i] = static_cast<int32_t>(label);
    kept_scores[i] = class_scores(image, candidate)[label];
  }

  const FastNms& op;
  const Box* boxes;
  const float* scores;
  int64_t images;
  int64_t candidates;
  int64_t stride;
  int64_t classes;
  int64_t kept;
  ImageCounts counts;
  int32_t* indices;
  int32_t* labels;
  float* kept_scores;
  int32_t* kept_counts;
};

struct Entry {
  float score;
  int64_t candidate;
  int64_t label;
};

// The entries of a list that are left; `list` is in the order of candidates.
std::vector<Entry> reference_list(const Problem& p, int64_t image, std::vector<Entry> list) {
  std::stable_sort(list.begin(), list.end(), [](const Entry& a, const Entry& b) { return a.score > b.score; });
  list.resize(std::min(list.size(), static_cast<size_t>(p.op.list_length(p.candidates))));
  std::vector<Entry> left;
  for (size_t i = 0; i < list.size(); ++i) {
    const Box box = p.box(image, list[i].candidate);
    bool dropped = false;
    if (p.op.kind == FastNms::traditional) {
      for (const Entry& other : left) {
        dropped |= suppresses<PixelIouFrom>(p.box(image, other.candidate), box, p.op.iou_threshold);
      }
    } else {
      for (size_t j = 0; j < i; ++j) {
        dropped |= suppresses<IouAbove>(p.box(image, list[j].candidate), box, p.op.iou_threshold);
      }
    }
    if (!dropped) left.push_back(list[i]);
  }
  return left;
}

void reference(const FastNms& op, const KernelContext& context) {
  const Problem p(op, context);
  for (int64_t image = 0; image < p.images; ++image) {
    std::vector<Entry> found;
    if (op.kind == FastNms::cross_class) {
      for (int64_t m = 0; m < p.counts[image]; ++m) {
        const BestClass best = best_class(p.class_scores(image, m), p.classes);
        if (best.score > op.score_threshold) found.push_back({best.score, m, best.index});
      }
      found = reference_list(p, image, found);
    } else {
      for (int64_t c = 0; c < p.classes; ++c) {
        std::vector<Entry> list;
        for (int64_t m = 0; m < p.counts[image]; ++m) {
          const float score = p.class_scores(image, m)[c];
          if (score > op.score_threshold) list.push_back({score, m, c});
        }
        const std::vector<Entry> left = reference_list(p, image, list);
        found.insert(found.end(), left.begin(), left.end());
      }
      std::stable_sort(found.begin(), found.end(), [](const Entry& a, const Entry& b) {
        return a.score > b.score || (a.score == b.score && a.candidate < b.candidate);
      });
    }
    const int64_t count = std::min(static_cast<int64_t>(found.size()), p.kept);
    for (int64_t i = 0; i < count; ++i) {
      const Entry& entry = found[static_cast<size_t>(i)];
      p.write(image, i, entry.candidate, entry.label);
    }
    p.kept_counts[image] = static_cast<int32_t>(count);
  }
}

/// Classes that are read together: their scores lie side by side.
constexpr int64_t kClassBlock = 8;

struct Layout {
  Layout(const FastNms& op, const Shape& scores, int64_t kept) : kept(kept) {
    images = scores[0];
    candidates = scores[1];
    lists = op.kind == FastNms::cross_class ? 1 : op.classes(scores);
    length = op.list_length(candidates);
    // No list gives more than all of them together.
    left = std::min(length, kept);
  }
  int64_t images, candidates, kept;
  int64_t lists;   ///< an image
  int64_t length;  ///< of a list
  int64_t left;    ///< at most, of a list
};

struct ThreadScratch {
  uint64_t* selected[kClassBlock];
  uint64_t* merged;
  BoxList boxes;
};

struct Scratch {
  Scratch(char* base, const FastNms& op, const Layout& layout, int thread_count) {
    Carver carver(base);
    found = carver.take<uint64_t>(layout.images * layout.lists * layout.left);
    found_counts = carver.take<int64_t>(layout.images * layout.lists);
    best = op.kind == FastNms::cross_class ? carver.take<BestClass>(layout.images * layout.candidates) : nullptr;
    for (int i = 0; i < thread_count; ++i) {
      ThreadScratch thread;
      for (uint64_t*& list : thread.selected) list = carver.take<uint64_t>(Selector::capacity(layout.length));
      thread.merged = carver.take<uint64_t>(Selector::capacity(layout.kept));
      BoxList& b = thread.boxes;
      for (float** column : {&b.x1, &b.y1, &b.x2, &b.y2, &b.area}) {
        *column = carver.take<float>(layout.length + kSuppressionLanes);
      }
      threads.push_back(thread);
    }
    bytes = carver.used();
  }

  uint64_t* found;  ///< what is left of each list: order_pair(score, candidate * classes + class)
  int64_t* found_counts;
  BestClass* best;
  std::vector<ThreadScratch> threads;
  size_t bytes;
};

size_t workspace(const FastNms& op, const Specs& in, const Specs& out, int threads) {
  return Scratch(nullptr, op, Layout(op, in[1].shape, out[0].shape[1]), threads).bytes;
}

/// Cuts to the best and puts them in order; returns their number.
int64_t sorted(Selector& selector) {
  const int64_t count = selector.finish();
  uint64_t* pairs = selector.pairs();
  if (selector.full()) {
    std::sort(pairs, pairs + count);
  } else {
    sort_pairs(pairs, pairs + count, count);  // fits: a selector has room for twice its pairs
  }
  return count;
}

using Suppressed = bool (*)(const BoxList&, int64_t, const Box&, float, float);

// What is left of a sorted list of candidates, at most `limit`.
template <class Rule, Suppressed AnySuppresses, class Emit>
int64_t thin_out(const Problem& p, int64_t image, const uint64_t* pairs, int64_t count, const BoxList& list,
                 int64_t limit, const Emit& emit) {
  // In the fast kinds dropped boxes suppress too.
  const bool dropped_suppress = p.op.kind != FastNms::traditional;
  int64_t left = 0;
  int64_t listed = 0;
  for (int64_t rank = 0; rank < count && left < limit; ++rank) {
    const Box box = p.box(image, pair_index(pairs[rank]));
    const float area = suppression_area<Rule>(box);
    const bool dropped = AnySuppresses(list, listed, box, area, p.op.iou_threshold);
    if (!dropped) emit(left++, pairs[rank]);
    if (!dropped || dropped_suppress) list.add(listed++, box, area);
  }
  return left;
}

template <Suppressed AnyIou, Suppressed AnyPixelIou>
void parallel(const FastNms& op, const KernelContext& context) {
  const Problem p(op, context);
  const Layout layout(op, context.inputs[1].shape, p.kept);
  const Scratch scratch(context.workspace, op, layout, context.pool.threads());
  const bool cross_class = op.kind == FastNms::cross_class;
  if (cross_class) {
    context.parallel_for(p.images * p.candidates, 16384 / p.stride + 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t image = i / p.candidates;
        const int64_t m = i % p.candidates;
        if (m < p.counts[image]) scratch.best[i] = best_class(p.class_scores(image, m), p.classes);
      }
    });
  }
  const int64_t blocks = (layout.lists + kClassBlock - 1) / kClassBlock;
  context.parallel_for(p.images * blocks, 1, [&](int64_t begin, int64_t end, int thread) {
    const ThreadScratch& own = scratch.threads[static_cast<size_t>(thread)];
    for (int64_t item = begin; item < end; ++item) {
      const int64_t image = item / blocks;
      const int64_t first = item % blocks * kClassBlock;
      const int64_t width = std::min(kClassBlock, layout.lists - first);
      std::vector<Selector> selectors;
      for (int64_t c = 0; c < width; ++c) selectors.emplace_back(own.selected[c], layout.length);
      for (int64_t m = 0; m < p.counts[image]; ++m) {
        const float* row =
            cross_class ? &scratch.best[image * p.candidates + m].score : p.class_scores(image, m) + first;
        for (int64_t c = 0; c < width; ++c) {
          if (row[c] > op.score_threshold)
            selectors[static_cast<size_t>(c)].push(order_pair(descending_key(row[c]), m));
        }
      }
      for (int64_t c = 0; c < width; ++c) {
        const int64_t count = sorted(selectors[static_cast<size_t>(c)]);
        const int64_t list = image * layout.lists + first + c;
        uint64_t* found = scratch.found + list * layout.left;
        const auto emit = [&](int64_t at, uint64_t pair) {
          const int64_t candidate = pair_index(pair);
          const int64_t label = cross_class ? scratch.best[image * p.candidates + candidate].index : first + c;
          found[at] = order_pair(static_cast<uint32_t>(pair >> 32), candidate * p.classes + label);
        };
        scratch.found_counts[list] =
            op.kind == FastNms::traditional
                ? thin_out<PixelIouFrom, AnyPixelIou>(p, image, own.selected[c], count, own.boxes, layout.left, emit)
                : thin_out<IouAbove, AnyIou>(p, image, own.selected[c], count, own.boxes, layout.left, emit);
      }
    }
  });
  context.parallel_for(p.images, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t image = begin; image < end; ++image) {
      Selector selector(scratch.threads[static_cast<size_t>(thread)].merged, p.kept);
      for (int64_t list = image * layout.lists; list < (image + 1) * layout.lists; ++list) {
        const uint64_t* found = scratch.found + list * layout.left;
        for (int64_t i = 0; i < scratch.found_counts[list]; ++i) selector.push(found[i]);
      }
      const int64_t count = selector.finish();
      std::sort(selector.pairs(), selector.pairs() + count);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t at = pair_index(selector.pairs()[i]);
        p.write(image, i, at / p.classes, at % p.classes);
      }
      p.kept_counts[image] = static_cast<int32_t>(count);
    }
  });
}

template <class Rule>
bool any_baseline(const BoxList& list, int64_t count, const Box& box, float area, float threshold) {
  return any_suppresses<Rule>(list, count, box, area, threshold);
}

const KernelRegistration<FastNms> reference_row{{.run = reference}};
const KernelRegistration<FastNms> baseline_row{{.variant = "baseline",
                                                .rank = 10,
                                                .workspace = workspace,
                                                .run = parallel<any_baseline<IouAbove>, any_baseline<PixelIouFrom>>}};
#ifdef INSTASEG_X86
const KernelRegistration<FastNms> avx2_row{
    {.variant = "avx2",
     .isa = Isa::avx2,
     .rank = 20,
     .workspace = workspace,
     .run = parallel<any_suppresses_avx2<IouAbove>, any_suppresses_avx2<PixelIouFrom>>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
