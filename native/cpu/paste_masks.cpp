// pasteMasks, variants:
//   reference  every pixel by the definition
//   baseline   blocks of rows of all masks over all threads, in tiles of columns (cpu/paste.h)
//   avx2       the same; bits by compare and movemask
// All give the same bits.
#include "ops/paste_masks.h"

#include "cpu/paste.h"

namespace instaseg::cpu {
namespace {

struct Output {
  std::vector<PastePlace> places;  ///< of the valid rows
  std::vector<int64_t> offsets;    ///< words (or values)
  uint32_t* words = nullptr;
  float* values = nullptr;
};

int64_t words_of(int64_t width) { return (width + 31) / 32; }

// Fills regions and offsets, and allocates what they add up to.
Output plan(const PasteMasks& op, const PasteProblem& p, const KernelContext& context) {
  Output out;
  int32_t* offsets = context.outputs[1].as<int32_t>();
  int64_t total = 0;
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const int64_t row = p.rows.row(i);
    const PastePlace place = p.place(row);
    p.write_region(row, place);
    require(total <= INT32_MAX, ErrorCode::out_of_memory, PasteMasks::name, ": the masks take more than 8 GB");
    offsets[row] = static_cast<int32_t>(total);
    out.offsets.push_back(total);
    out.places.push_back(place);
    total += place.height() * (op.soft ? place.width() : words_of(place.width()));
  }
  require(total <= INT32_MAX, ErrorCode::out_of_memory, PasteMasks::name, ": the masks take more than 8 GB");
  void* memory = context.allocate_output(2, {op.soft ? total : total * 4});
  out.words = static_cast<uint32_t*>(memory);
  out.values = static_cast<float*>(memory);
  return out;
}

template <PasteRule Rule>
void reference_rule(const PasteMasks& op, const KernelContext& context) {
  const PasteProblem p(op, context);
  const Output out = plan(op, p, context);
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const PastePlace& place = out.places[static_cast<size_t>(i)];
    const int64_t offset = out.offsets[static_cast<size_t>(i)];
    for (int64_t y = 0; y < place.height(); ++y) {
      for (int64_t x = 0; x < place.width(); ++x) {
        const float value = paste_pixel<Rule>(p, p.rows.row(i), place, place.y.begin + y, place.x.begin + x);
        if (op.soft) {
          out.values[offset + y * place.width() + x] = value;
        } else if (paste_inside<Rule>(value, op.threshold)) {
          out.words[offset + y * words_of(place.width()) + x / 32] |= uint32_t{1} << (x % 32);
        }
      }
    }
  }
}
void reference(const PasteMasks& op, const KernelContext& context) {
  op.rule == PasteRule::torchvision ? reference_rule<PasteRule::torchvision>(op, context)
                                    : reference_rule<PasteRule::detectron2>(op, context);
}

/// A block of rows of one mask.
struct Block {
  const PastePlace& place;
  int64_t row;
  int64_t begin, end;  ///< rows of the region
  uint32_t* words;     ///< of the region; or null
  float* values;
};

/// `Word` evaluates 32 pixels of the tile's row.
template <PasteRule Rule, uint32_t (PasteTile<Rule>::*Word)(int64_t) const>
INSTASEG_INLINE void run_block(PasteTile<Rule>& tile, const Block& block) {
  tile.start_mask(block.row, block.place);
  const int64_t width = block.place.width();
  for (int64_t left = 0; left < width; left += PasteTile<Rule>::kTile) {
    const int64_t count = std::min(PasteTile<Rule>::kTile, width - left);
    tile.start_columns(block.place.x.begin + left, count);
    for (int64_t y = block.begin; y < block.end; ++y) {
      tile.start_row(block.place.y.begin + y);
      if (block.words) {
        uint32_t* words = block.words + y * words_of(width) + left / 32;
        for (int64_t word = 0; word < words_of(count); ++word) words[word] = (tile.*Word)(word);
      } else {
        float* values = block.values + y * width + left;
        for (int64_t i = 0; i < count; ++i) values[i] = tile.value(i);
      }
    }
  }
}
template <PasteRule Rule>
void block_baseline(PasteTile<Rule>& tile, const Block& block) {
  run_block<Rule, &PasteTile<Rule>::word>(tile, block);
}
#ifdef INSTASEG_X86
template <PasteRule Rule>
INSTASEG_AVX2 void block_avx2(PasteTile<Rule>& tile, const Block& block) {
  run_block<Rule, &PasteTile<Rule>::word_avx2>(tile, block);
}
#endif

size_t workspace(const PasteMasks&, const Specs& in, const Specs&, int threads) {
  Carver carver(nullptr);
  const Shape& masks = in[0].shape;
  const int64_t size = PasteTile<PasteRule::torchvision>::padded_size(masks[masks.rank() - 2], masks[masks.rank() - 1]);
  for (int thread = 0; thread < threads; ++thread) carver.take<float>(size);
  return carver.used();
}

template <PasteRule Rule, void (*RunBlock)(PasteTile<Rule>&, const Block&)>
void parallel(const PasteMasks& op, const KernelContext& context) {
  const PasteProblem p(op, context);
  const Output out = plan(op, p, context);
  // Blocks of about 2^17 pixels, whatever the number of threads.
  const auto block_rows = [](const PastePlace& place) { return (int64_t{1} << 17) / (place.width() + 1) + 32; };
  std::vector<int64_t> ends;
  int64_t blocks = 0;
  for (const PastePlace& place : out.places) {
    blocks += (place.height() + block_rows(place) - 1) / block_rows(place);
    ends.push_back(blocks);
  }
  context.parallel_for(blocks, 1, [&](int64_t begin, int64_t end, int thread) {
    Carver carver(context.workspace);
    float* padded = nullptr;
    for (int i = 0; i <= thread; ++i) {
      padded = carver.take<float>(PasteTile<Rule>::padded_size(p.mask_height, p.mask_width));
    }
    PasteTile<Rule> tile(p, padded);
    for (int64_t index = begin; index < end; ++index) {
      const auto i = static_cast<size_t>(chunk_owner(ends, index));
      const PastePlace& place = out.places[i];
      const int64_t first = (index - (i ? ends[i - 1] : 0)) * block_rows(place);
      RunBlock(tile, {.place = place,
                      .row = p.rows.row(static_cast<int64_t>(i)),
                      .begin = first,
                      .end = std::min(first + block_rows(place), place.height()),
                      .words = op.soft ? nullptr : out.words + out.offsets[i],
                      .values = op.soft ? out.values + out.offsets[i] : nullptr});
    }
  });
}
void baseline(const PasteMasks& op, const KernelContext& context) {
  constexpr auto tv = PasteRule::torchvision, d2 = PasteRule::detectron2;
  op.rule == tv ? parallel<tv, block_baseline<tv>>(op, context) : parallel<d2, block_baseline<d2>>(op, context);
}

const KernelRegistration<PasteMasks> reference_row{{.run = reference}};
const KernelRegistration<PasteMasks> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = baseline}};
#ifdef INSTASEG_X86
void avx2(const PasteMasks& op, const KernelContext& context) {
  constexpr auto tv = PasteRule::torchvision, d2 = PasteRule::detectron2;
  op.rule == tv ? parallel<tv, block_avx2<tv>>(op, context) : parallel<d2, block_avx2<d2>>(op, context);
}
const KernelRegistration<PasteMasks> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .workspace = workspace, .run = avx2}};
#endif

}  // namespace
}  // namespace instaseg::cpu
