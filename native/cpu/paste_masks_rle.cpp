// pasteMasksRle, variants:
//   reference  every pixel of the image in column-major order
//   baseline   strips of 32 columns of all masks over all threads: rows of 32 pixels as in pasteMasks (cpu/paste.h), of
//              which only the words that differ from the row above are looked into; then the runs of a mask are the
//              distances between its changes
//   avx2       the same; words by compare and movemask
// All give the same runs.
#include "ops/paste_masks_rle.h"

#include <bit>
#include <utility>

#include "cpu/paste.h"

namespace instaseg::cpu {
namespace {

struct Output {
  int32_t* offsets;
  int32_t* counts;
};

Output outputs(const KernelContext& context) {
  return {context.outputs[1].as<int32_t>(), context.outputs[2].as<int32_t>()};
}

void require_countable(const PasteProblem& p, int64_t row) {
  require(p.image_height(row) * p.image_width(row) <= int64_t{UINT32_MAX}, ErrorCode::argument, PasteMasksRle::name,
          ": images must have less than 2^32 pixels; received ", p.image_width(row), " x ", p.image_height(row));
}

// Writes offsets and counts; returns the runs of all masks.
uint32_t* allocate_runs(const PasteProblem& p, const KernelContext& context, const std::vector<int64_t>& counts) {
  const Output out = outputs(context);
  int64_t total = 0;
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const int64_t count = counts[static_cast<size_t>(i)];
    require(total + count <= INT32_MAX, ErrorCode::out_of_memory, PasteMasksRle::name,
            ": the masks have more than 2^31 runs");
    out.offsets[p.rows.row(i)] = static_cast<int32_t>(total);
    out.counts[p.rows.row(i)] = static_cast<int32_t>(count);
    total += count;
  }
  return static_cast<uint32_t*>(context.allocate_output(3, {total}));
}

template <PasteRule Rule>
void reference_rule(const PasteMasksRle& op, const KernelContext& context) {
  const PasteProblem p(op, context);
  std::vector<uint32_t> all;
  std::vector<int64_t> counts;
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const int64_t row = p.rows.row(i);
    require_countable(p, row);
    const PastePlace place = p.place(row);
    p.write_region(row, place);
    std::vector<uint32_t> runs(1, 0);
    bool last = false;
    for (int64_t x = 0; x < p.image_width(row); ++x) {
      for (int64_t y = 0; y < p.image_height(row); ++y) {
        const bool region = x >= place.x.begin && x < place.x.end && y >= place.y.begin && y < place.y.end;
        const bool set = region && paste_inside<Rule>(paste_pixel<Rule>(p, row, place, y, x), op.threshold);
        if (set != last) runs.push_back(0);
        ++runs.back();
        last = set;
      }
    }
    counts.push_back(static_cast<int64_t>(runs.size()));
    all.insert(all.end(), runs.begin(), runs.end());
  }
  uint32_t* runs = allocate_runs(p, context, counts);
  std::copy(all.begin(), all.end(), runs);
}
void reference(const PasteMasksRle& op, const KernelContext& context) {
  op.rule == PasteRule::torchvision ? reference_rule<PasteRule::torchvision>(op, context)
                                    : reference_rule<PasteRule::detectron2>(op, context);
}

/// A row of a strip of 32 columns whose bits differ from those above.
struct Change {
  uint32_t y;
  uint32_t columns;
};

// Appends the changes within a strip, its first row included; returns the bits of its last row. `Word` evaluates 32
// pixels of the tile's row.
template <PasteRule Rule, uint32_t (PasteTile<Rule>::*Word)(int64_t) const>
INSTASEG_INLINE uint32_t run_strip(PasteTile<Rule>& tile, const PastePlace& place, int64_t begin, int64_t count,
                                   std::vector<Change>& changes) {
  tile.start_columns(begin, count);
  uint32_t above = 0;
  for (int64_t y = place.y.begin; y < place.y.end; ++y) {
    tile.start_row(y);
    const uint32_t bits = (tile.*Word)(0);
    if (bits != above) changes.push_back({static_cast<uint32_t>(y), bits ^ above});
    above = bits;
  }
  return above;
}
template <PasteRule Rule>
uint32_t strip_baseline(PasteTile<Rule>& tile, const PastePlace& place, int64_t begin, int64_t count,
                        std::vector<Change>& changes) {
  return run_strip<Rule, &PasteTile<Rule>::word>(tile, place, begin, count, changes);
}
#ifdef INSTASEG_X86
template <PasteRule Rule>
INSTASEG_AVX2 uint32_t strip_avx2(PasteTile<Rule>& tile, const PastePlace& place, int64_t begin, int64_t count,
                                  std::vector<Change>& changes) {
  return run_strip<Rule, &PasteTile<Rule>::word_avx2>(tile, place, begin, count, changes);
}
#endif

// Appends the positions (column-major, in the image) at which the columns of a strip change. `chained`: the region
// spans whole columns, so a column continues where the one before ended, `carry` being that pixel.
void append_positions(std::vector<Change>& changes, uint32_t last, bool chained, bool carry, int64_t begin,
                      int64_t count, int64_t height, int64_t y_begin, int64_t y_end, std::vector<uint32_t>& positions) {
  const uint32_t valid = count == 32 ? UINT32_MAX : (uint32_t{1} << count) - 1;
  if (chained) {
    // Flip the first pixel of the columns whose predecessor is set.
    const uint32_t before = (last << 1 | static_cast<uint32_t>(carry)) & valid;
    if (!changes.empty() && changes.front().y == y_begin) {
      changes.front().columns ^= before;
    } else if (before) {
      changes.insert(changes.begin(), {static_cast<uint32_t>(y_begin), before});
    }
  } else if (last) {
    changes.push_back({static_cast<uint32_t>(y_end), last});
  }
  // Counting sort by column; rows ascend within each.
  uint32_t starts[33] = {};
  for (const Change& change : changes) {
    for (uint32_t bits = change.columns; bits; bits &= bits - 1) ++starts[std::countr_zero(bits) + 1];
  }
  for (int i = 0; i < 32; ++i) starts[i + 1] += starts[i];
  const size_t base = positions.size();
  positions.resize(base + starts[32]);
  for (const Change& change : changes) {
    for (uint32_t bits = change.columns; bits; bits &= bits - 1) {
      const int column = std::countr_zero(bits);
      positions[base + starts[column]++] = static_cast<uint32_t>((begin + column) * height + change.y);
    }
  }
}

size_t workspace(const PasteMasksRle&, const Specs& in, const Specs&, int threads) {
  Carver carver(nullptr);
  const Shape& masks = in[0].shape;
  const int64_t size = PasteTile<PasteRule::torchvision>::padded_size(masks[masks.rank() - 2], masks[masks.rank() - 1]);
  for (int thread = 0; thread < threads; ++thread) carver.take<float>(size);
  return carver.used();
}

template <PasteRule Rule>
using RunStrip = uint32_t (*)(PasteTile<Rule>&, const PastePlace&, int64_t, int64_t, std::vector<Change>&);

template <PasteRule Rule, RunStrip<Rule> Strip>
void parallel(const PasteMasksRle& op, const KernelContext& context) {
  const PasteProblem p(op, context);
  const int64_t masks = p.rows.total();
  std::vector<PastePlace> places;
  // Blocks of strips of about 2^16 pixels, whatever the number of threads.
  const auto block_columns = [](const PastePlace& place) {
    return ((int64_t{1} << 11) / (place.height() + 1) + 1) * 32;
  };
  std::vector<int64_t> ends;
  int64_t blocks = 0;
  for (int64_t i = 0; i < masks; ++i) {
    require_countable(p, p.rows.row(i));
    places.push_back(p.place(p.rows.row(i)));
    p.write_region(p.rows.row(i), places.back());
    blocks += (places.back().width() + block_columns(places.back()) - 1) / block_columns(places.back());
    ends.push_back(blocks);
  }
  std::vector<std::vector<uint32_t>> positions(static_cast<size_t>(blocks));
  context.parallel_for(blocks, 1, [&](int64_t first, int64_t last, int thread) {
    Carver carver(context.workspace);
    float* padded = nullptr;
    for (int i = 0; i <= thread; ++i) {
      padded = carver.take<float>(PasteTile<Rule>::padded_size(p.mask_height, p.mask_width));
    }
    PasteTile<Rule> tile(p, padded);
    std::vector<Change> changes;
    for (int64_t index = first; index < last; ++index) {
      const int64_t i = chunk_owner(ends, index);
      const int64_t row = p.rows.row(i);
      const PastePlace& place = places[static_cast<size_t>(i)];
      const int64_t height = p.image_height(row);
      const bool chained = place.height() == height;
      tile.start_mask(row, place);
      const int64_t block = index - (i ? ends[static_cast<size_t>(i) - 1] : 0);
      int64_t begin = place.x.begin + block * block_columns(place);
      const int64_t end = std::min(begin + block_columns(place), place.x.end);
      bool carry = false;
      if (chained && begin > place.x.begin) {
        // The last pixel of the column before this block.
        tile.start_columns(begin - 1, 1);
        tile.start_row(place.y.end - 1);
        carry = tile.word(0) != 0;
      }
      std::vector<uint32_t>& out = positions[static_cast<size_t>(index)];
      for (; begin < end; begin += 32) {
        const int64_t count = std::min<int64_t>(32, end - begin);
        changes.clear();
        const uint32_t bits = Strip(tile, place, begin, count, changes);
        append_positions(changes, bits, chained, carry, begin, count, height, place.y.begin, place.y.end, out);
        carry = bits >> (count - 1) & 1;
      }
      // A region that spans whole columns ends with its last column.
      if (chained && end == place.x.end && carry) out.push_back(static_cast<uint32_t>(end * height));
    }
  });

  // A change at the end of the image starts no run.
  std::vector<int64_t> counts(static_cast<size_t>(masks), 1);
  for (int64_t i = 0; i < masks; ++i) {
    const int64_t row = p.rows.row(i);
    const uint32_t pixels = static_cast<uint32_t>(p.image_height(row) * p.image_width(row));
    for (int64_t b = i ? ends[static_cast<size_t>(i) - 1] : 0; b < ends[static_cast<size_t>(i)]; ++b) {
      std::vector<uint32_t>& list = positions[static_cast<size_t>(b)];
      if (!list.empty() && list.back() == pixels) list.pop_back();
      counts[static_cast<size_t>(i)] += static_cast<int64_t>(list.size());
    }
  }
  uint32_t* runs = allocate_runs(p, context, counts);
  const Output out = outputs(context);
  context.parallel_for(masks, 16, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t row = p.rows.row(i);
      uint32_t* run = runs + out.offsets[row];
      uint32_t before = 0;
      for (int64_t b = i ? ends[static_cast<size_t>(i) - 1] : 0; b < ends[static_cast<size_t>(i)]; ++b) {
        for (uint32_t position : positions[static_cast<size_t>(b)]) *run++ = position - std::exchange(before, position);
      }
      *run = static_cast<uint32_t>(p.image_height(row) * p.image_width(row)) - before;
    }
  });
}
void baseline(const PasteMasksRle& op, const KernelContext& context) {
  constexpr auto tv = PasteRule::torchvision, d2 = PasteRule::detectron2;
  op.rule == tv ? parallel<tv, strip_baseline<tv>>(op, context) : parallel<d2, strip_baseline<d2>>(op, context);
}

const KernelRegistration<PasteMasksRle> reference_row{{.run = reference}};
const KernelRegistration<PasteMasksRle> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = baseline}};
#ifdef INSTASEG_X86
void avx2(const PasteMasksRle& op, const KernelContext& context) {
  constexpr auto tv = PasteRule::torchvision, d2 = PasteRule::detectron2;
  op.rule == tv ? parallel<tv, strip_avx2<tv>>(op, context) : parallel<d2, strip_avx2<d2>>(op, context);
}
const KernelRegistration<PasteMasksRle> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .workspace = workspace, .run = avx2}};
#endif

}  // namespace
}  // namespace instaseg::cpu
