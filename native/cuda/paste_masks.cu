// pasteMasks, variants:
//   words  one block places all masks and adds up their sizes; the host reads the total, once, and allocates; then a
//          thread evaluates 32 pixels and writes one word (soft output: a pixel each), so that the work is the boxes'
//          area however the masks differ in size. A thread finds its mask by a binary search
#include "ops/paste_masks.h"

#include "cuda/paste.h"
#include "runtime/carver.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 256;

struct Scratch {
  Scratch(char* base, int64_t rows) {
    Carver carver(base);
    places = carver.take<PastePlace>(rows);
    ends = carver.take<int64_t>(rows);
    total = carver.take<int64_t>(1);
    bytes = carver.used();
  }
  PastePlace* places;
  int64_t* ends;   ///< words (or values) of the rows up to this one
  int64_t* total;  ///< of all
  size_t bytes;
};

__device__ __forceinline__ int64_t row_units(const PastePlace& place, bool soft) {
  return soft ? place.width() : (place.width() + 31) / 32;
}

// One block. Offsets beyond 2^31 are not read: the host refuses their total.
__global__ void __launch_bounds__(kBlock)
    place_kernel(PasteProblem p, bool soft, Scratch s, int32_t* regions, int32_t* offsets) {
  int64_t carried = 0;
  for (int64_t first = 0; first < p.rows; first += kBlock) {
    const int64_t row = first + threadIdx.x;
    int64_t units = 0;
    if (row < p.rows && p.counts.valid(row)) {
      const PastePlace place = p.place(row);
      write_region(regions, row, place);
      s.places[row] = place;
      units = place.height() * row_units(place, soft);
    }
    int64_t sum;
    const int64_t before = carried + block_prefix_sum(units, sum);
    if (row < p.rows) {
      s.ends[row] = before + units;
      if (p.counts.valid(row)) offsets[row] = static_cast<int32_t>(before);
    }
    carried += sum;
  }
  if (threadIdx.x == 0) *s.total = carried;
}

/// Word (or value) `unit` of all: its row of `rows` masks.
__device__ __forceinline__ int64_t row_of(const Scratch& s, int64_t rows, int64_t unit) {
  int64_t low = 0;
  int64_t high = rows;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (s.ends[middle] <= unit) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

template <PasteRule Rule, bool Soft>
__global__ void __launch_bounds__(kBlock)
    paste_kernel(PasteProblem p, Scratch s, int64_t total, uint32_t* __restrict__ words, float* __restrict__ values) {
  for (int64_t unit = int64_t{blockIdx.x} * kBlock + threadIdx.x; unit < total; unit += int64_t{gridDim.x} * kBlock) {
    const int64_t row = row_of(s, p.rows, unit);
    const PasteAxis x = s.places[row].x;
    const PasteAxis y = s.places[row].y;
    const auto width = static_cast<unsigned>(x.end - x.begin);
    // Less than 2^31 units in all.
    const auto local = static_cast<unsigned>(unit - (row > 0 ? s.ends[row - 1] : 0));
    const unsigned units = Soft ? width : (width + 31) / 32;
    const unsigned line = local / units;
    const unsigned within = local - line * units;
    const PasteTap ty = y.tap<Rule>(y.begin + line);
    if constexpr (Soft) {
      values[unit] = p.pixel<Rule>(row, ty, x.tap<Rule>(x.begin + within));
    } else {
      const unsigned left = within * 32;
      const unsigned count = width - left < 32 ? width - left : 32;
      uint32_t bits = 0;
      for (unsigned i = 0; i < count; ++i) {
        bits |= static_cast<uint32_t>(p.set<Rule>(row, ty, x.tap<Rule>(x.begin + left + i))) << i;
      }
      words[unit] = bits;
    }
  }
}

size_t workspace(const PasteMasks&, const Specs& in, const Specs&, int) {
  return Scratch(nullptr, in[1].shape.elements() / 4).bytes;
}

template <PasteRule Rule, bool Soft>
void paste(const KernelContext& context, const PasteProblem& p, const Scratch& s, int64_t total) {
  void* memory = context.allocate_output(2, {Soft ? total : total * 4});
  launch(context, {.grid = blocks_for(total, kBlock), .block = kBlock}, paste_kernel<Rule, Soft>, p, s, total,
         static_cast<uint32_t*>(memory), static_cast<float*>(memory));
}

void run(const PasteMasks& op, const KernelContext& context) {
  const PasteProblem p(op, context);
  const Scratch s(context.workspace, p.rows);
  launch(context, {.grid = 1, .block = kBlock}, place_kernel, p, op.soft, s, context.outputs[0].as<int32_t>(),
         context.outputs[1].as<int32_t>());
  const int64_t total = download(context, s.total);
  require(total <= INT32_MAX, ErrorCode::out_of_memory, PasteMasks::name, ": the masks take more than 8 GB");
  constexpr auto tv = PasteRule::torchvision, d2 = PasteRule::detectron2;
  if (op.soft) {
    op.rule == tv ? paste<tv, true>(context, p, s, total) : paste<d2, true>(context, p, s, total);
  } else {
    op.rule == tv ? paste<tv, false>(context, p, s, total) : paste<d2, false>(context, p, s, total);
  }
}

const KernelRegistration<PasteMasks> words_row{
    {.variant = "words", .device = DeviceKind::cuda, .rank = 10, .workspace = workspace, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
