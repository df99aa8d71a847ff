// topK, variants:
//   reference  stable sort of every row
//   baseline   segments of rows over all threads; each keeps its k best in a buffer that is cut back in linear time,
//              skipping blocks of 16 values in which none beats the k-th best so far; then the segments of a row are
//              merged. The order of (value, index) pairs is total, so the split changes nothing.
//   avx2       the same, 8 lanes
#include "ops/top_k.h"

#include <cstring>
#include <numeric>

#include "cpu/groups.h"
#include "cpu/order.h"

namespace instaseg::cpu {
namespace {

constexpr int64_t kSegment = 1 << 18;
constexpr int64_t kBlock = 16;

struct Problem {
  Problem(const TopK&, const KernelContext& context)
      : input(context.inputs[0].f32()),
        values(context.outputs[0].as<float>()),
        indices(context.outputs[1].as<int32_t>()),
        kept(context.outputs[2].as<int32_t>()),
        rows(context.inputs[0].shape[0]),
        columns(context.inputs[0].shape[1]),
        k(context.outputs[0].shape[1]),
        counts(columns, input_or_absent(context, 1)) {}

  int64_t count(int64_t row) const { return std::min(k, counts[row]); }
  void write(int64_t row, int64_t position, int32_t index) const {
    indices[row * k + position] = index;
    values[row * k + position] = input[row * columns + index];
  }

  const float* input;
  float* values;
  int32_t* indices;
  int32_t* kept;
  int64_t rows;
  int64_t columns;
  int64_t k;
  ImageCounts counts;
};

void reference(const TopK& op, const KernelContext& context) {
  const Problem p(op, context);
  for (int64_t row = 0; row < p.rows; ++row) {
    const float* x = p.input + row * p.columns;
    std::vector<int32_t> order(static_cast<size_t>(p.counts[row]));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      if (x[a] != x[a] || x[b] != x[b]) return x[a] == x[a] && x[b] != x[b];
      return x[a] > x[b];
    });
    for (int64_t i = 0; i < p.count(row); ++i) p.write(row, i, order[static_cast<size_t>(i)]);
    p.kept[row] = static_cast<int32_t>(p.count(row));
  }
}

INSTASEG_INLINE void select(const float* x, int64_t begin, int64_t end, Selector& selector) {
  int64_t i = begin;
  while (i < end && !selector.full()) {
    const int64_t stop = std::min(i + kBlock, end);
    for (; i < stop; ++i) selector.push(order_pair(descending_key(x[i]), i));
  }
  for (; i < end; i += kBlock) {
    const int64_t stop = std::min(i + kBlock, end);
    // Values that come now have higher indices than those kept, so only strictly larger ones count; while the worst
    // kept one is NaN, every number does.
    const float worst = x[pair_index(selector.limit())];
    if (stop - i == kBlock && worst == worst && !any_of_16_above(x + i, worst)) continue;
    for (int64_t j = i; j < stop; ++j) {
      if (x[j] > worst || worst != worst) selector.push(order_pair(descending_key(x[j]), j));
    }
  }
}
void select_baseline(const float* x, int64_t begin, int64_t end, Selector& selector) {
  select(x, begin, end, selector);
}

int64_t segments(int64_t columns) { return (columns + kSegment - 1) / kSegment; }

struct Scratch {
  Scratch(char* base, int64_t rows, int64_t columns, int64_t k, int threads) {
    Carver carver(base);
    // Room for the k best of every segment, or for all entries of a short one.
    width = std::min(k, kSegment);
    merged = carver.take<uint64_t>(rows * segments(columns) * width);
    for (int thread = 0; thread < threads; ++thread)
      buffers.push_back(carver.take<uint64_t>(Selector::capacity(width)));
    bytes = carver.used();
  }
  int64_t width;
  uint64_t* merged;
  std::vector<uint64_t*> buffers;
  size_t bytes;
};

size_t workspace(const TopK&, const Specs& in, const Specs& out, int threads) {
  return Scratch(nullptr, in[0].shape[0], in[0].shape[1], out[0].shape[1], threads).bytes;
}

template <void (*Select)(const float*, int64_t, int64_t, Selector&)>
void parallel(const TopK& op, const KernelContext& context) {
  const Problem p(op, context);
  if (p.k == 0) {
    std::fill(p.kept, p.kept + p.rows, 0);
    return;
  }
  const Scratch scratch(context.workspace, p.rows, p.columns, p.k, context.pool.threads());
  const int64_t parts = segments(p.columns);
  const int64_t grain = 8192 / p.columns + 1;
  context.parallel_for(p.rows * parts, grain, [&](int64_t first, int64_t last, int thread) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t row = task / parts;
      const int64_t begin = std::min(task % parts * kSegment, p.counts[row]);
      const int64_t end = std::min(begin + kSegment, p.counts[row]);
      uint64_t* buffer = scratch.buffers[static_cast<size_t>(thread)];
      Selector selector(buffer, scratch.width);
      Select(p.input + row * p.columns, begin, end, selector);
      std::copy(buffer, buffer + selector.finish(), scratch.merged + task * scratch.width);
    }
  });
  context.parallel_for(p.rows, grain, [&](int64_t first, int64_t last, int) {
    for (int64_t row = first; row < last; ++row) {
      uint64_t* pairs = scratch.merged + row * parts * scratch.width;
      uint64_t* end = pairs;
      for (int64_t part = 0; part < parts; ++part) {
        const int64_t entries = std::clamp<int64_t>(p.counts[row] - part * kSegment, 0, scratch.width);
        std::memmove(end, pairs + part * scratch.width, static_cast<size_t>(entries) * sizeof(uint64_t));
        end += entries;
      }
      const int64_t count = p.count(row);
      if (end - pairs > count) std::nth_element(pairs, pairs + count, end);
      std::sort(pairs, pairs + count);
      for (int64_t i = 0; i < count; ++i) p.write(row, i, pair_index(pairs[i]));
      p.kept[row] = static_cast<int32_t>(count);
    }
  });
}

const KernelRegistration<TopK> reference_row{{.run = reference}};
const KernelRegistration<TopK> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = parallel<select_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void select_avx2(const float* x, int64_t begin, int64_t end, Selector& selector) {
  select(x, begin, end, selector);
}
const KernelRegistration<TopK> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .workspace = workspace, .run = parallel<select_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
