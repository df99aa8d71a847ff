// nms, variants:
//   bitmask  up to 8,192 boxes an image: IoUs of all pairs of a group as bits, worked out by the whole GPU, then one
//            block a group, which needs one barrier pair for 64 boxes. Memory grows with the square (8 MB an image)
//   lists    any number: one block a group compares 64 boxes at a time with those kept so far. Memory is linear and the
//            work less where few boxes survive, but a large group has one multiprocessor to itself
// Both first give every box its rank by counting the boxes before it: quadratic too, but one launch, no sorting passes,
// and 5,000 boxes are a few microseconds. Groups are then runs of positions; a last launch writes the kept boxes of all
// groups in order of rank. Nothing depends on the order in which blocks or atomics come: the lists are those of the
// CPU.
#include "ops/nms.h"

#include "cuda/launch.h"
#include "cuda/suppression.h"
#include "ops/order_keys.h"
#include "runtime/carver.h"

namespace instaseg::cuda {
namespace {

constexpr int64_t kBitmaskBoxes = 8192;
constexpr int kWordsPerLane = kBitmaskBoxes / kChunk / 32;
constexpr unsigned kRankBlock = 256;
constexpr int kRankedPerBlock = 32;
constexpr unsigned kListsBlock = 256;
constexpr unsigned kReduceBlock = 512;
constexpr int kReduceRows = kChunk / (kReduceBlock / 32);
constexpr unsigned kColumnSplits = 16;
constexpr unsigned kWriteBlock = 256;

struct Problem {
  const Box* boxes;
  const float* scores;
  const int32_t* groups;  ///< or null
  RowCounts counts;
  float threshold;
  int64_t max_output;
  int32_t* indices;
  int32_t* kept_counts;
};

/// Memory of one image. Ranks are by score among the boxes whose score is a number, positions by group, then rank.
struct Scratch {
  Scratch(char* base, int64_t images, int64_t boxes, bool bitmask)
      : capacity(boxes), words((boxes + kChunk - 1) / kChunk) {
    Carver carver(base);
    ranked = carver.take<int32_t>(images);
    index_of_rank = carver.take<int32_t>(images * boxes);
    rank_of_position = carver.take<int32_t>(images * boxes);
    group_of_position = carver.take<int32_t>(images * boxes);
    sorted = carver.take<Box>(images * boxes);
    kept_words = carver.take<unsigned>(images * words * 2);
    kept_boxes = bitmask ? nullptr : carver.take<Box>(images * boxes);
    suppressors = bitmask ? carver.take<uint64_t>(images * boxes * words) : nullptr;
    bytes = carver.used();
  }

  int64_t capacity;
  int64_t words;  ///< chunks of 64 positions
  int32_t* ranked;
  int32_t* index_of_rank;
  int32_t* rank_of_position;
  int32_t* group_of_position;
  Box* sorted;            ///< by position
  unsigned* kept_words;   ///< a bit a rank
  Box* kept_boxes;        ///< of the group that begins at a position
  uint64_t* suppressors;  ///< [position][word]: the earlier positions of the group that overlap too much
  size_t bytes;
};

// Ranks and positions of 32 boxes a block; its warps share the boxes that these are compared with.
__global__ void __launch_bounds__(kRankBlock) rank_kernel(Problem p, Scratch s) {
  INSTASEG_SHARED(uint64_t, pairs, kRankBlock);
  INSTASEG_SHARED(int32_t, groups, kRankBlock);
  INSTASEG_SHARED(int32_t, ranks, kRankedPerBlock);
  INSTASEG_SHARED(int32_t, positions, kRankedPerBlock);
  INSTASEG_SHARED(int32_t, ranked, 1);
  const int64_t image = blockIdx.y;
  const int64_t count = p.counts[image];
  const int64_t first = int64_t{blockIdx.x} * kRankedPerBlock;
  const float* scores = p.scores + image * s.capacity;
  const int32_t* group_of = p.groups ? p.groups + image * s.capacity : nullptr;
  if (threadIdx.x == 0) s.kept_words[image * s.words * 2 + blockIdx.x] = 0;
  if (!(first < count)) {
    if (first == 0 && threadIdx.x == 0) s.ranked[image] = 0;
    return;
  }
  if (threadIdx.x == 0) *ranked = 0;
  if (threadIdx.x < kRankedPerBlock) ranks[threadIdx.x] = positions[threadIdx.x] = 0;

  const auto pair_at = [&](int64_t i) {
    if (!(i < count)) return UINT64_MAX;
    const float score = scores[i];
    return score == score ? order_pair(descending_key(score), i) : UINT64_MAX;
  };
  const int64_t i = first + lane_index();
  const uint64_t pair = pair_at(i);
  const int32_t group = group_of && i < count ? group_of[i] : 0;
  int rank = 0;
  int position = 0;
  int numbers = 0;
  for (int64_t tile = 0; tile < count; tile += kRankBlock) {
    __syncthreads();
    const int64_t other = tile + threadIdx.x;
    const uint64_t other_pair = pair_at(other);
    pairs[threadIdx.x] = other_pair;
    // What has no rank counts as a last group.
    groups[threadIdx.x] = other_pair == UINT64_MAX ? INT32_MAX : (group_of ? group_of[other] : 0);
    numbers += other_pair != UINT64_MAX;
    __syncthreads();
    for (unsigned k = threadIdx.x / 32 * 32; k < threadIdx.x / 32 * 32 + 32; ++k) {
      const bool before = pairs[k] < pair;
      rank += before;
      position += groups[k] < group || (groups[k] == group && before);
    }
  }
  atomicAdd(&ranks[lane_index()], rank);
  atomicAdd(&positions[lane_index()], position);
  if (blockIdx.x == 0) atomicAdd(ranked, numbers);
  __syncthreads();
  if (blockIdx.x == 0 && threadIdx.x == 0) s.ranked[image] = *ranked;
  if (threadIdx.x < kRankedPerBlock && pair != UINT64_MAX) {
    const int64_t base = image * s.capacity;
    s.index_of_rank[base + ranks[threadIdx.x]] = static_cast<int32_t>(i);
    const int64_t at = base + positions[threadIdx.x];
    s.rank_of_position[at] = ranks[threadIdx.x];
    s.group_of_position[at] = group;
    store_box(s.sorted, at, load_box(p.boxes, base + i));
  }
}

/// Calls `body(begin, end)` for the groups whose first position is one of `kWindow` <= 64 from `window` on.
template <int kWindow, class Body>
__device__ __forceinline__ void for_groups(const Scratch& s, int64_t image, int64_t window, const Body& body) {
  const int64_t ranked = s.ranked[image];
  const int32_t* groups = s.group_of_position + image * s.capacity;
  const auto starts_at = [&](int64_t position) {
    return position < ranked && (position == 0 || groups[position] != groups[position - 1]);
  };
  const int64_t own = window + lane_index();
  const bool second = kWindow > 32 && starts_at(own + 32);
  uint64_t starts = ballot_64(starts_at(own), second);
  for (; starts != 0; starts &= starts - 1) {
    const int64_t begin = window + __popcll((starts & (~starts + 1)) - 1);
    int64_t low = begin + 1;
    int64_t high = ranked;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (groups[middle] == groups[begin]) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    body(begin, low);
  }
}

__device__ __forceinline__ void mark_kept(const Scratch& s, int64_t image, int64_t position) {
  const unsigned rank = static_cast<unsigned>(s.rank_of_position[image * s.capacity + position]);
  atomicOr(&s.kept_words[image * s.words * 2 + rank / 32], 1u << (rank % 32));
}

// A chunk of positions against the chunks up to itself; a thread has one position.
__global__ void __launch_bounds__(kChunk) overlap_kernel(Problem p, Scratch s) {
  INSTASEG_SHARED(Box, boxes, kChunk);
  INSTASEG_SHARED(float, areas, kChunk);
  INSTASEG_SHARED(int32_t, groups, kChunk);
  const int64_t image = blockIdx.z;
  const int64_t ranked = s.ranked[image];
  const int64_t first = int64_t{blockIdx.x} * kChunk;
  if (!(first < ranked)) return;
  const Box* sorted = s.sorted + image * s.capacity;
  const int32_t* group_of = s.group_of_position + image * s.capacity;
  const int64_t own = first + threadIdx.x;
  const bool valid = own < ranked;
  const Box box = valid ? load_box(sorted, own) : Box{};
  const float area = suppression_area<IouAbove>(box);
  const int32_t group = valid ? group_of[own] : 0;
  for (int64_t chunk = blockIdx.y; chunk <= blockIdx.x; chunk += gridDim.y) {
    // Groups lie one behind the other: they meet where the end of the earlier chunk and the start of this one do.
    const int64_t others = chunk * kChunk;
    if (others < first && group_of[others + kChunk - 1] != group_of[first]) continue;
    __syncthreads();
    if (others + threadIdx.x < ranked) {
      const Box other = load_box(sorted, others + threadIdx.x);
      boxes[threadIdx.x] = other;
      areas[threadIdx.x] = suppression_area<IouAbove>(other);
      groups[threadIdx.x] = group_of[others + threadIdx.x];
    }
    __syncthreads();
    if (!valid) continue;
    const int earlier = static_cast<int>(own - others < kChunk ? own - others : kChunk);
    uint64_t bits = 0;
    for (int k = 0; k < earlier; ++k) {
      const bool lost = groups[k] == group && suppresses<IouAbove>(boxes[k], areas[k], box, area, p.threshold);
      bits |= static_cast<uint64_t>(lost) << k;
    }
    s.suppressors[(image * s.capacity + own) * s.words + chunk] = bits;
  }
}

// The kept ones of the group [begin, end), chunk by chunk: a warp looks whether kept boxes of earlier chunks suppress
// four of the chunk's boxes, then the first warp resolves the chunk. The words of the next chunk are on their way
// meanwhile.
__device__ __forceinline__ void reduce_group(const Problem& p, const Scratch& s, int64_t image, int64_t begin,
                                             int64_t end) {
  INSTASEG_SHARED(uint64_t, kept, kBitmaskBoxes / kChunk);
  INSTASEG_SHARED(uint8_t, lost, kChunk);
  const int lane = lane_index();
  const int64_t first = begin / kChunk;
  int64_t last = (end - 1) / kChunk;
  const auto word_at = [&](int64_t position, int64_t word) -> uint64_t {
    if (!(position >= begin && position < end)) return 0;
    return s.suppressors[(image * s.capacity + position) * s.words + word];
  };
  uint64_t words[kReduceRows][kWordsPerLane];
  uint64_t low = 0, high = 0;  // of the chunk itself, for the first warp
  const auto fetch = [&](int64_t chunk) {
#pragma unroll
    for (int row = 0; row < kReduceRows; ++row) {
#pragma unroll
      for (int q = 0; q < kWordsPerLane; ++q) {
        const int64_t word = q * 32 + lane;
        const int64_t position = chunk * kChunk + warp_index() * kReduceRows + row;
        words[row][q] = word >= first && word < chunk ? word_at(position, word) : 0;
      }
    }
    if (warp_index() == 0) {
      low = word_at(chunk * kChunk + lane, chunk);
      high = word_at(chunk * kChunk + lane + 32, chunk);
    }
  };
  fetch(first);
  int64_t total = 0;
  for (int64_t chunk = first; chunk <= last; ++chunk) {
#pragma unroll
    for (int row = 0; row < kReduceRows; ++row) {
      bool any = false;
#pragma unroll
      for (int q = 0; q < kWordsPerLane; ++q) {
        if (words[row][q] != 0) any |= (words[row][q] & kept[q * 32 + lane]) != 0;
      }
      any = __any_sync(kAllLanes, any);
      if (lane == 0) lost[warp_index() * kReduceRows + row] = any;
    }
    const uint64_t own_low = low, own_high = high;
    if (chunk < last) fetch(chunk + 1);
    __syncthreads();
    if (warp_index() == 0) {
      const int64_t position = chunk * kChunk + lane;
      const auto candidate = [&](int64_t at, int box) { return at >= begin && at < end && !lost[box]; };
      const uint64_t candidates = ballot_64(candidate(position, lane), candidate(position + 32, lane + 32));
      const uint64_t bits = resolve_chunk(candidates, own_low, own_high);
      if (lane == 0) kept[chunk] = bits;
    }
    __syncthreads();
    total += __popcll(kept[chunk]);
    if (total >= p.max_output) last = chunk;
  }
  for (int64_t position = first * kChunk + threadIdx.x; position < (last + 1) * kChunk; position += blockDim.x) {
    if (kept[position / kChunk] >> (position % kChunk) & 1) mark_kept(s, image, position);
  }
  __syncthreads();
}

__global__ void __launch_bounds__(kReduceBlock, 1) reduce_kernel(Problem p, Scratch s) {
  for_groups<kChunk>(s, blockIdx.y, int64_t{blockIdx.x} * kChunk,
                     [&](int64_t begin, int64_t end) { reduce_group(p, s, blockIdx.y, begin, end); });
}

__global__ void __launch_bounds__(kListsBlock) lists_kernel(Problem p, Scratch s) {
  const int64_t image = blockIdx.y;
  for_groups<32>(s, image, int64_t{blockIdx.x} * 32, [&](int64_t begin, int64_t end) {
    const int64_t base = image * s.capacity + begin;
    suppress_list<IouAbove>(
        end - begin, p.max_output, p.threshold, s.kept_boxes + base,
        [&](int64_t i) { return load_box(s.sorted, base + i); },
        [&](int64_t i, int64_t) { mark_kept(s, image, begin + i); });
  });
}

// One block an image.
__global__ void __launch_bounds__(kWriteBlock) write_kept_kernel(Problem p, Scratch s) {
  const int64_t image = blockIdx.x;
  const int64_t ranked = s.ranked[image];
  int64_t written = 0;
  for (int64_t first = 0; first < ranked && written < p.max_output; first += int64_t{kWriteBlock} * 32) {
    int64_t rank = first + int64_t{threadIdx.x} * 32;
    unsigned bits = rank < ranked ? s.kept_words[image * s.words * 2 + rank / 32] : 0;
    int total;
    int64_t at = written + block_prefix_sum(__popc(bits), total);
    for (; bits != 0 && at < p.max_output; bits &= bits - 1) {
      const int64_t kept = rank + __ffs(static_cast<int>(bits)) - 1;
      p.indices[image * p.max_output + at++] = s.index_of_rank[image * s.capacity + kept];
    }
    written += total;
  }
  if (threadIdx.x == 0) p.kept_counts[image] = static_cast<int32_t>(written < p.max_output ? written : p.max_output);
}

__global__ void clear_counts_kernel(int32_t* counts, int64_t images) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < images; i += int64_t{gridDim.x} * blockDim.x) {
    counts[i] = 0;
  }
}

template <bool Bitmask>
size_t workspace(const Nms&, const Specs& in, const Specs&, int) {
  return Scratch(nullptr, in[0].shape[0], in[0].shape[1], Bitmask).bytes;
}

bool supports_bitmask(const Nms&, const Specs& in) { return in[0].shape[1] <= kBitmaskBoxes; }

template <bool Bitmask>
void run(const Nms& op, const KernelContext& context) {
  const int64_t images = context.inputs[0].shape[0];
  const int64_t capacity = context.inputs[0].shape[1];
  const TensorView groups = input_or_absent(context, 2);
  const Problem p{.boxes = context.inputs[0].as<const Box>(),
                  .scores = context.inputs[1].f32(),
                  .groups = groups ? groups.i32() : nullptr,
                  .counts = RowCounts::of_groups(capacity, input_or_absent(context, 3)),
                  .threshold = floor_to_float(op.iou_threshold),
                  .max_output = context.outputs[0].shape[1],
                  .indices = context.outputs[0].as<int32_t>(),
                  .kept_counts = context.outputs[1].as<int32_t>()};
  if (p.max_output == 0) {
    launch(context, {.grid = blocks_for(images, kWriteBlock), .block = kWriteBlock}, clear_counts_kernel, p.kept_counts,
           images);
    return;
  }
  const Scratch s(context.workspace, images, capacity, Bitmask);
  const auto n = static_cast<unsigned>(images);
  const auto words = static_cast<unsigned>(s.words);
  launch(context, {.grid = {blocks_for(capacity, kRankedPerBlock, INT32_MAX), n}, .block = kRankBlock}, rank_kernel, p,
         s);
  if constexpr (Bitmask) {
    launch(context, {.grid = {words, std::min(words, kColumnSplits), n}, .block = kChunk}, overlap_kernel, p, s);
    launch(context, {.grid = {words, n}, .block = kReduceBlock}, reduce_kernel, p, s);
  } else {
    launch(context, {.grid = {blocks_for(capacity, 32, INT32_MAX), n}, .block = kListsBlock}, lists_kernel, p, s);
  }
  launch(context, {.grid = n, .block = kWriteBlock}, write_kept_kernel, p, s);
}

const KernelRegistration<Nms> bitmask_row{{.variant = "bitmask",
                                           .device = DeviceKind::cuda,
                                           .rank = 20,
                                           .supports = supports_bitmask,
                                           .workspace = workspace<true>,
                                           .run = run<true>}};
const KernelRegistration<Nms> lists_row{
    {.variant = "lists", .device = DeviceKind::cuda, .rank = 10, .workspace = workspace<false>, .run = run<false>}};

}  // namespace
}  // namespace instaseg::cuda
