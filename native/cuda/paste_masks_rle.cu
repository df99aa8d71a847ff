// pasteMasksRle, variants:
//   twice  16 blocks a mask, each a strip of whole columns: threads evaluate 32 pixels of a column, and what counts are
//          the places where a pixel differs from the one before it in column-major order. A first launch counts them,
//          one block turns the counts into offsets, the host reads the total, once, and allocates; then the pixels are
//          evaluated again, and every change adds its position to the run that it ends and subtracts it from the next.
//          Twice the arithmetic, but no buffer whose size depends on the boxes, and no second stop
// Sums of integers do not depend on their order: the runs are those of the CPU.
#include "ops/paste_masks_rle.h"

#include "cuda/paste.h"
#include "runtime/carver.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 128;
constexpr int kStrips = 16;
constexpr unsigned kLayoutBlock = 256;

/// What the host reads.
struct Summary {
  int64_t runs;
  int32_t wide, high;  ///< an image with too many pixels, or 0
};

struct Scratch {
  Scratch(char* base, int64_t rows) {
    Carver carver(base);
    changes = carver.take<uint32_t>(rows * kStrips);
    starts = carver.take<uint32_t>(rows * kStrips);
    summary = carver.take<Summary>(1);
    bytes = carver.used();
  }
  uint32_t* changes;  ///< of each strip
  uint32_t* starts;   ///< the run that the first change of each strip ends
  Summary* summary;
  size_t bytes;
};

/// A strip of columns of one mask.
struct Strip {
  __device__ __forceinline__ Strip(const PasteProblem& p, int64_t mask, int strip) : row(mask), place(p.place(mask)) {
    height = p.image_height(mask);
    width = p.image_width(mask);
    chained = place.height() == height;
    first = place.x.begin + place.width() * strip / kStrips;
    const int64_t end = place.x.begin + place.width() * (strip + 1) / kStrips;
    column_words = (place.height() + 31) / 32;
    words = countable() ? (end - first) * column_words : 0;
  }
  /// Positions are 32-bit.
  __device__ __forceinline__ bool countable() const { return height * width <= int64_t{UINT32_MAX}; }

  int64_t row;
  PastePlace place;
  int64_t height, width;  ///< of the image
  bool chained;           ///< columns are whole, so one continues where the one before it ended
  int64_t first;          ///< column
  int64_t column_words;
  int64_t words;
};

/// 32 pixels of a column: the position of the first, which of them differ from the pixel before, and whether the pixel
/// behind the last differs from it, the column's (or mask's) end being there.
struct Changes {
  uint32_t position;
  uint32_t bits;
  bool ends;
  uint32_t end_position;

  __device__ __forceinline__ int count() const { return __popc(bits) + (ends ? 1 : 0); }
};

template <PasteRule Rule>
__device__ __forceinline__ Changes find_changes(const PasteProblem& p, const Strip& strip, int64_t word) {
  const PasteAxis& x = strip.place.x;
  const PasteAxis& y = strip.place.y;
  const int64_t in_strip = word / strip.column_words;
  const int64_t column = strip.first + in_strip;
  const int64_t top = y.begin + (word - in_strip * strip.column_words) * 32;
  const int count = static_cast<int>(y.end - top < 32 ? y.end - top : 32);
  const PasteTap tx = x.tap<Rule>(column);
  uint32_t set = 0;
  for (int i = 0; i < count; ++i) {
    set |= static_cast<uint32_t>(p.set<Rule>(strip.row, y.tap<Rule>(top + i), tx)) << i;
  }
  bool before = false;
  if (top > y.begin) {
    before = p.set<Rule>(strip.row, y.tap<Rule>(top - 1), tx);
  } else if (strip.chained && column > x.begin) {
    before = p.set<Rule>(strip.row, y.tap<Rule>(y.end - 1), x.tap<Rule>(column - 1));
  }
  Changes changes;
  changes.position = static_cast<uint32_t>(column * strip.height + top);
  const uint32_t valid = count == 32 ? UINT32_MAX : (uint32_t{1} << count) - 1;
  changes.bits = (set ^ (set << 1 | static_cast<uint32_t>(before))) & valid;
  // A change at the end of the image starts no run.
  const int64_t end = column * strip.height + y.end;
  changes.end_position = static_cast<uint32_t>(end);
  changes.ends = (set >> (count - 1) & 1) != 0 && top + count == y.end && (!strip.chained || column + 1 == x.end) &&
                 end < strip.height * strip.width;
  return changes;
}

template <PasteRule Rule>
__global__ void __launch_bounds__(kBlock) count_kernel(PasteProblem p, Scratch s) {
  const int64_t row = blockIdx.x;
  if (!p.counts.valid(row)) return;
  const Strip strip(p, row, static_cast<int>(blockIdx.y));
  uint32_t count = 0;
  for (int64_t word = threadIdx.x; word < strip.words; word += kBlock) {
    count += static_cast<uint32_t>(find_changes<Rule>(p, strip, word).count());
  }
  uint32_t total;
  block_prefix_sum(count, total);
  if (threadIdx.x == 0) s.changes[row * kStrips + blockIdx.y] = total;
}

// One block: regions, offsets, numbers of runs, and where the strips write.
__global__ void __launch_bounds__(kLayoutBlock)
    layout_kernel(PasteProblem p, Scratch s, int32_t* regions, int32_t* offsets, int32_t* run_counts) {
  INSTASEG_SHARED(unsigned, refused, 1);  // the first row of an image with too many pixels
  if (threadIdx.x == 0) *refused = UINT32_MAX;
  __syncthreads();
  int64_t carried = 0;
  for (int64_t first = 0; first < p.rows; first += kLayoutBlock) {
    const int64_t row = first + threadIdx.x;
    const bool valid = row < p.rows && p.counts.valid(row);
    int64_t runs = 0;
    if (valid) {
      runs = 1;
      for (int strip = 0; strip < kStrips; ++strip) runs += s.changes[row * kStrips + strip];
      write_region(regions, row, p.place(row));
      if (p.image_height(row) * p.image_width(row) > int64_t{UINT32_MAX}) {
        atomicMin(refused, static_cast<unsigned>(row));
      }
    }
    int64_t sum;
    const int64_t before = carried + block_prefix_sum(runs, sum);
    if (valid) {
      offsets[row] = static_cast<int32_t>(before);
      run_counts[row] = static_cast<int32_t>(runs);
      auto start = static_cast<uint32_t>(before);
      for (int strip = 0; strip < kStrips; ++strip) {
        s.starts[row * kStrips + strip] = start;
        start += s.changes[row * kStrips + strip];
      }
    }
    carried += sum;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    *s.summary = {carried, 0, 0};
    if (*refused != UINT32_MAX) {
      s.summary->wide = static_cast<int32_t>(p.image_width(*refused));
      s.summary->high = static_cast<int32_t>(p.image_height(*refused));
    }
  }
}

/// A change ends run `run` and begins the next.
__device__ __forceinline__ void add_change(uint32_t* runs, uint32_t run, uint32_t position) {
  atomicAdd(&runs[run], position);
  atomicAdd(&runs[run + 1], 0u - position);
}

// `runs` holds zeros.
template <PasteRule Rule>
__global__ void __launch_bounds__(kBlock)
    write_kernel(PasteProblem p, Scratch s, const int32_t* run_counts, const int32_t* offsets, uint32_t* runs) {
  const int64_t row = blockIdx.x;
  if (!p.counts.valid(row)) return;
  const Strip strip(p, row, static_cast<int>(blockIdx.y));
  if (blockIdx.y == 0 && threadIdx.x == 0) {
    atomicAdd(&runs[offsets[row] + run_counts[row] - 1], static_cast<uint32_t>(strip.height * strip.width));
  }
  uint32_t run = s.starts[row * kStrips + blockIdx.y];
  for (int64_t first = 0; first < strip.words; first += kBlock) {
    const int64_t word = first + threadIdx.x;
    Changes changes{};
    if (word < strip.words) changes = find_changes<Rule>(p, strip, word);
    uint32_t total;
    uint32_t own = run + block_prefix_sum(static_cast<uint32_t>(changes.count()), total);
    for (uint32_t bits = changes.bits; bits != 0; bits &= bits - 1) {
      add_change(runs, own++, changes.position + static_cast<uint32_t>(__ffs(static_cast<int>(bits)) - 1));
    }
    if (changes.ends) add_change(runs, own, changes.end_position);
    run += total;
  }
}

size_t workspace(const PasteMasksRle&, const Specs& in, const Specs&, int) {
  return Scratch(nullptr, in[1].shape.elements() / 4).bytes;
}

template <PasteRule Rule>
void run_rule(const PasteMasksRle& op, const KernelContext& context) {
  const PasteProblem p(op, context);
  const Scratch s(context.workspace, p.rows);
  auto* offsets = context.outputs[1].as<int32_t>();
  auto* run_counts = context.outputs[2].as<int32_t>();
  const dim3 strips{static_cast<unsigned>(p.rows), kStrips};
  launch(context, {.grid = strips, .block = kBlock}, count_kernel<Rule>, p, s);
  launch(context, {.grid = 1, .block = kLayoutBlock}, layout_kernel, p, s, context.outputs[0].as<int32_t>(), offsets,
         run_counts);
  const Summary summary = download(context, s.summary);
  require(summary.wide == 0, ErrorCode::argument, PasteMasksRle::name,
          ": images must have less than 2^32 pixels; received ", summary.wide, " x ", summary.high);
  require(summary.runs <= INT32_MAX, ErrorCode::out_of_memory, PasteMasksRle::name,
          ": the masks have more than 2^31 runs");
  auto* runs = static_cast<uint32_t*>(context.allocate_output(3, {summary.runs}));
  launch(context, {.grid = strips, .block = kBlock}, write_kernel<Rule>, p, s, run_counts, offsets, runs);
}

void run(const PasteMasksRle& op, const KernelContext& context) {
  op.rule == PasteRule::torchvision ? run_rule<PasteRule::torchvision>(op, context)
                                    : run_rule<PasteRule::detectron2>(op, context);
}

const KernelRegistration<PasteMasksRle> twice_row{
    {.variant = "twice", .device = DeviceKind::cuda, .rank = 10, .workspace = workspace, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
