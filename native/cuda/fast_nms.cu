// fastNms, variants:
//   lists  one block a class (cross-class: one an image, after a warp a candidate has found its best class): it selects
//          and sorts the best of the list, and thins it out; then one block an image merges the lists. Lists of up to
//          2,048 are sorted in shared memory, longer ones (the traditional kind has no limit) in global memory, which
//          is slow and meant for evaluation
#include "ops/fast_nms.h"

#include "cuda/launch.h"
#include "cuda/order.h"
#include "cuda/suppression.h"
#include "runtime/carver.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 256;
constexpr unsigned kMergeBlock = 1024;

/// Best class of a candidate; the score is NaN where any is.
struct Best {
  float score;
  int32_t label;
};

struct Problem {
  Problem(const FastNms& op, const KernelContext& context)
      : boxes(context.inputs[0].as<const Box>()),
        scores(context.inputs[1].f32() + (op.background ? 1 : 0)),
        images(context.inputs[0].shape[0]),
        candidates(context.inputs[0].shape[1]),
        stride(context.inputs[1].shape[2]),
        classes(op.classes(context.inputs[1].shape)),
        kept(context.outputs[0].shape[1]),
        counts(RowCounts::of_groups(candidates, input_or_absent(context, 2))),
        iou_threshold(op.iou_threshold),
        score_threshold(op.score_threshold),
        max_size(op.max_size),
        indices(context.outputs[0].as<int32_t>()),
        labels(context.outputs[1].as<int32_t>()),
        kept_scores(context.outputs[2].as<float>()),
        kept_counts(context.outputs[3].as<int32_t>()) {}

  __device__ __forceinline__ const float* class_scores(int64_t image, int64_t candidate) const {
    return scores + (image * candidates + candidate) * stride;
  }

  const Box* boxes;
  const float* scores;
  int64_t images;
  int64_t candidates;
  int64_t stride;
  int64_t classes;
  int64_t kept;
  RowCounts counts;
  float iou_threshold;
  float score_threshold;
  float max_size;
  int32_t* indices;
  int32_t* labels;
  float* kept_scores;
  int32_t* kept_counts;
};

struct Scratch {
  Scratch(char* base, const FastNms& op, const Shape& scores, int64_t kept) {
    const int64_t images = scores[0];
    const bool cross_class = op.kind == FastNms::cross_class;
    lists = cross_class ? 1 : op.classes(scores);
    length = op.list_length(scores[1]);
    // No list gives more than all of them together.
    left = std::min(length, kept);
    Carver carver(base);
    best = cross_class ? carver.take<Best>(images * scores[1]) : nullptr;
    found = carver.take<uint64_t>(images * lists * left);
    selected = length > kSharedPairs ? carver.take<uint64_t>(images * lists * length) : nullptr;
    merged = kept > kSharedPairs ? carver.take<uint64_t>(images * kept) : nullptr;
    kept_boxes = op.kind == FastNms::traditional ? carver.take<Box>(images * lists * (left + kChunk)) : nullptr;
    bytes = carver.used();
  }

  int64_t lists;   ///< an image
  int64_t length;  ///< at most, of a list
  int64_t left;    ///< at most, of a list
  Best* best;
  uint64_t* found;  ///< [image][list][left]: pairs of score and candidate * classes + class, then kNoPair
  uint64_t* selected;
  uint64_t* merged;
  Box* kept_boxes;
  size_t bytes;
};

__global__ void __launch_bounds__(kBlock) best_class_kernel(Problem p, Best* __restrict__ best) {
  const int64_t warps = int64_t{gridDim.x} * warp_count();
  for (int64_t i = int64_t{blockIdx.x} * warp_count() + warp_index(); i < p.images * p.candidates; i += warps) {
    const int64_t image = i / p.candidates;
    if (!(i % p.candidates < p.counts[image])) continue;
    const float* x = p.scores + i * p.stride;
    Best own{-INFINITY, INT32_MAX};
    bool number = true;
    for (int64_t c = lane_index(); c < p.classes; c += 32) {
      const float score = x[c];
      number &= score == score;
      // The first class even where no score is above -infinity.
      if (score > own.score || own.label == INT32_MAX) own = {score, static_cast<int32_t>(c)};
    }
    number = __all_sync(kAllLanes, number);
    for (int distance = 16; distance > 0; distance /= 2) {
      const Best other{__shfl_xor_sync(kAllLanes, own.score, distance),
                       __shfl_xor_sync(kAllLanes, own.label, distance)};
      if (other.score > own.score || (other.score == own.score && other.label < own.label)) own = other;
    }
    if (lane_index() == 0) best[i] = {number ? own.score : NAN, own.label};
  }
}

// Fast NMS of sorted pairs: a box is dropped by any box before it, dropped or not. `emit(pair, position)` for what is
// left, up to `limit`; returns its number.
template <class Emit>
__device__ int64_t thin_out(const Problem& p, int64_t image, const uint64_t* pairs, int64_t count, int64_t limit,
                            const Emit& emit) {
  INSTASEG_SHARED(Box, boxes, kBlock);
  INSTASEG_SHARED(float, areas, kBlock);
  int64_t left = 0;
  for (int64_t first = 0; first < count && left < limit; first += kBlock) {
    const int64_t rank = first + threadIdx.x;
    const bool valid = rank < count;
    const Box box = valid ? load_box(p.boxes, image * p.candidates + pair_index(pairs[rank])) : Box{};
    const float area = suppression_area<IouAbove>(box);
    bool dropped = false;
    for (int64_t tile = 0; tile <= first; tile += kBlock) {
      __syncthreads();
      const Box other =
          tile == first ? box : load_box(p.boxes, image * p.candidates + pair_index(pairs[tile + threadIdx.x]));
      boxes[threadIdx.x] = other;
      areas[threadIdx.x] = suppression_area<IouAbove>(other);
      __syncthreads();
      const int before = tile == first ? static_cast<int>(threadIdx.x) : static_cast<int>(kBlock);
      for (int k = 0; valid && k < before && !dropped; ++k) {
        dropped = suppresses<IouAbove>(boxes[k], areas[k], box, area, p.iou_threshold);
      }
    }
    int total;
    const int64_t at = left + block_prefix_sum(valid && !dropped ? 1 : 0, total);
    if (valid && !dropped && at < limit) emit(pairs[rank], at);
    left += total;
  }
  return left < limit ? left : limit;
}

template <FastNms::Kind Kind>
__global__ void __launch_bounds__(kBlock) list_kernel(Problem p, Scratch s) {
  INSTASEG_SHARED(uint64_t, shared_pairs, kSharedPairs);
  const int64_t list = blockIdx.x;
  const int64_t image = blockIdx.y;
  const int64_t row = image * s.lists + list;
  uint64_t* pairs = s.selected ? s.selected + row * s.length : shared_pairs;
  uint64_t* found = s.found + row * s.left;
  const auto pair_at = [&](int64_t m) {
    float score;
    if constexpr (Kind == FastNms::cross_class) {
      score = s.best[image * p.candidates + m].score;
    } else {
      score = p.class_scores(image, m)[list];
    }
    return score > p.score_threshold ? order_pair(descending_key(score), m) : kNoPair;
  };
  const int64_t candidates = p.counts[image];
  const int64_t count = collect_pairs(candidates, select_limit(candidates, s.length, pair_at), pair_at, pairs);
  block_sort(pairs, count);
  const auto emit = [&](uint64_t pair, int64_t position) {
    const int64_t candidate = pair_index(pair);
    int64_t label = list;
    if constexpr (Kind == FastNms::cross_class) label = s.best[image * p.candidates + candidate].label;
    found[position] = order_pair(static_cast<uint32_t>(pair >> 32), candidate * p.classes + label);
  };
  int64_t left;
  if constexpr (Kind == FastNms::traditional) {
    left = suppress_list<PixelIouFrom>(
        count, s.left, p.iou_threshold, s.kept_boxes + row * (s.left + kChunk),
        [&](int64_t rank) {
          const Box b = load_box(p.boxes, image * p.candidates + pair_index(pairs[rank]));
          return Box{b.x1 * p.max_size, b.y1 * p.max_size, b.x2 * p.max_size, b.y2 * p.max_size};
        },
        [&](int64_t rank, int64_t position) {
          if (position < s.left) emit(pairs[rank], position);
        });
  } else {
    left = thin_out(p, image, pairs, count, s.left, emit);
  }
  for (int64_t i = left + threadIdx.x; i < s.left; i += blockDim.x) found[i] = kNoPair;
}

// The best of all lists of an image, one block each.
__global__ void __launch_bounds__(kMergeBlock, 1) merge_kernel(Problem p, Scratch s) {
  INSTASEG_SHARED(uint64_t, shared_pairs, kSharedPairs);
  const int64_t image = blockIdx.x;
  const int64_t slots = s.lists * s.left;
  const uint64_t* found = s.found + image * slots;
  uint64_t* pairs = s.merged ? s.merged + image * p.kept : shared_pairs;
  const auto pair_at = [&](int64_t i) { return found[i]; };
  const int64_t count = collect_pairs(slots, select_limit(slots, p.kept, pair_at), pair_at, pairs);
  block_sort(pairs, count);
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    const int64_t candidate = pair_index(pairs[i]) / p.classes;
    const int64_t label = pair_index(pairs[i]) % p.classes;
    const int64_t at = image * p.kept + i;
    p.indices[at] = static_cast<int32_t>(candidate);
    p.labels[at] = static_cast<int32_t>(label);
    p.kept_scores[at] = p.class_scores(image, candidate)[label];
  }
  if (threadIdx.x == 0) p.kept_counts[image] = static_cast<int32_t>(count);
}

__global__ void clear_counts_kernel(int32_t* counts, int64_t images) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < images; i += int64_t{gridDim.x} * blockDim.x) {
    counts[i] = 0;
  }
}

size_t workspace(const FastNms& op, const Specs& in, const Specs& out, int) {
  return Scratch(nullptr, op, in[1].shape, out[0].shape[1]).bytes;
}

void run(const FastNms& op, const KernelContext& context) {
  const Problem p(op, context);
  const Scratch s(context.workspace, op, context.inputs[1].shape, p.kept);
  if (p.kept == 0) {
    launch(context, {.grid = blocks_for(p.images, kBlock), .block = kBlock}, clear_counts_kernel, p.kept_counts,
           p.images);
    return;
  }
  const dim3 lists{static_cast<unsigned>(s.lists), static_cast<unsigned>(p.images)};
  switch (op.kind) {
    case FastNms::fast:
      launch(context, {.grid = lists, .block = kBlock}, list_kernel<FastNms::fast>, p, s);
      break;
    case FastNms::cross_class:
      launch(context, {.grid = blocks_for(p.images * p.candidates, kBlock / 32), .block = kBlock}, best_class_kernel, p,
             s.best);
      launch(context, {.grid = lists, .block = kBlock}, list_kernel<FastNms::cross_class>, p, s);
      break;
    case FastNms::traditional:
      launch(context, {.grid = lists, .block = kBlock}, list_kernel<FastNms::traditional>, p, s);
      break;
  }
  const unsigned block = s.lists * s.left >= 4096 ? kMergeBlock : kBlock;
  launch(context, {.grid = static_cast<unsigned>(p.images), .block = block}, merge_kernel, p, s);
}

const KernelRegistration<FastNms> lists_row{
    {.variant = "lists", .device = DeviceKind::cuda, .rank = 10, .workspace = workspace, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
