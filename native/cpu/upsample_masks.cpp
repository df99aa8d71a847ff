// upsampleMasks, variants:
//   reference  every pixel of the region by the definition
//   baseline   the taps of an image's columns and rows once; then blocks of rows of all masks over all threads, in
//              tiles of columns: a row of cells is stretched to the tile's columns once for all pixel rows between it
//              and the next, which leaves two products, a sum and a comparison a pixel
//   avx2       the same, 8 lanes
// All give the same bits.
#include "ops/upsample_masks.h"

#include <bit>
#include <cstring>

#include "cpu/paste.h"
#include "ops/linear_axis.h"

namespace instaseg::cpu {
namespace {

struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

/// Pixels of the image, or cells of a mask.
struct Area {
  Range y, x;
  bool empty() const { return y.size() == 0 || x.size() == 0; }
};

struct Problem {
  Problem(const UpsampleMasks& op, const KernelContext& context)
      : op(op),
        masks(context.inputs[0].f32()),
        sizes(context.inputs[1].i32()),
        images(context.outputs[1].shape[0]),
        capacity(context.outputs[1].shape[1]),
        mask_height(UpsampleMasks::height(context.inputs[0].shape)),
        mask_width(UpsampleMasks::width(context.inputs[0].shape)),
        rows(images * capacity, input_or_absent(context, 2)),
        regions(context.outputs[0].as<int32_t>()),
        offsets(context.outputs[1].as<int32_t>()) {}

  int64_t image_height(int64_t image) const { return std::max(sizes[image * 4], 0); }
  int64_t image_width(int64_t image) const { return std::max(sizes[image * 4 + 1], 0); }
  const float* mask(int64_t row) const { return masks + row * mask_height * mask_width; }

  const UpsampleMasks& op;
  const float* masks;
  const int32_t* sizes;
  int64_t images;
  int64_t capacity;
  int64_t mask_height;
  int64_t mask_width;
  ValidRows rows;  ///< of masks
  int32_t* regions;
  int32_t* offsets;
};

struct Output {
  std::vector<Area> regions;     ///< of the valid rows
  std::vector<int64_t> offsets;  ///< words (or values)
  uint32_t* words = nullptr;
  float* values = nullptr;
};

int64_t words_of(int64_t width) { return (width + 31) / 32; }

// Writes regions and offsets, and allocates what they add up to.
Output plan(const Problem& p, const KernelContext& context, std::vector<Area> regions) {
  Output out;
  int64_t total = 0;
  for (size_t i = 0; i < regions.size(); ++i) {
    Area& region = regions[i];
    if (region.empty()) region = {};
    const int64_t row = p.rows.row(static_cast<int64_t>(i));
    const int64_t values[4] = {region.x.begin, region.y.begin, region.x.size(), region.y.size()};
    for (int c = 0; c < 4; ++c) p.regions[row * 4 + c] = static_cast<int32_t>(values[c]);
    p.offsets[row] = static_cast<int32_t>(total);
    out.offsets.push_back(total);
    total += region.y.size() * (p.op.soft ? region.x.size() : words_of(region.x.size()));
    require(total <= INT32_MAX, ErrorCode::out_of_memory, UpsampleMasks::name, ": the masks take more than 8 GB");
  }
  void* memory = context.allocate_output(2, {p.op.soft ? total : total * 4});
  out.words = static_cast<uint32_t*>(memory);
  out.values = static_cast<float*>(memory);
  out.regions = std::move(regions);
  return out;
}

// The pixels that sample a cell of the range, by looking at each.
Range reference_pixels(const Range& cells, int64_t count, int64_t pixels) {
  Range range;
  for (int64_t i = 0; i < pixels; ++i) {
    const LinearTap t = linear_tap(i, count, pixels);
    if (t.second < cells.begin || t.first >= cells.end) continue;
    if (range.size() == 0) range.begin = i;
    range.end = i + 1;
  }
  return range;
}

void reference(const UpsampleMasks& op, const KernelContext& context) {
  const Problem p(op, context);
  std::vector<Area> regions;
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const int64_t row = p.rows.row(i);
    Area cells{{p.mask_height, 0}, {p.mask_width, 0}};
    for (int64_t y = 0; y < p.mask_height; ++y) {
      for (int64_t x = 0; x < p.mask_width; ++x) {
        if (p.mask(row)[y * p.mask_width + x] == 0) continue;
        cells.y = {std::min(cells.y.begin, y), std::max(cells.y.end, y + 1)};
        cells.x = {std::min(cells.x.begin, x), std::max(cells.x.end, x + 1)};
      }
    }
    const int64_t image = row / p.capacity;
    if (cells.y.end == 0) cells = {};
    regions.push_back({reference_pixels(cells.y, p.mask_height, p.image_height(image)),
                       reference_pixels(cells.x, p.mask_width, p.image_width(image))});
  }
  const Output out = plan(p, context, std::move(regions));
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const int64_t row = p.rows.row(i);
    const int64_t image = row / p.capacity;
    const float* mask = p.mask(row);
    const Area& region = out.regions[static_cast<size_t>(i)];
    const int64_t offset = out.offsets[static_cast<size_t>(i)];
    for (int64_t y = 0; y < region.y.size(); ++y) {
      const LinearTap ty = linear_tap(region.y.begin + y, p.mask_height, p.image_height(image));
      const float* upper = mask + ty.first * p.mask_width;
      const float* lower = mask + ty.second * p.mask_width;
      for (int64_t x = 0; x < region.x.size(); ++x) {
        const LinearTap tx = linear_tap(region.x.begin + x, p.mask_width, p.image_width(image));
        const float value =
            (upper[tx.first] * tx.first_weight + upper[tx.second] * tx.second_weight) * ty.first_weight +
            (lower[tx.first] * tx.first_weight + lower[tx.second] * tx.second_weight) * ty.second_weight;
        if (op.soft) {
          out.values[offset + y * region.x.size() + x] = value;
        } else if (value > op.threshold) {
          out.words[offset + y * words_of(region.x.size()) + x / 32] |= uint32_t{1} << (x % 32);
        }
      }
    }
  }
}

constexpr int64_t kTile = 512;

/// The taps of all pixels of one axis of an image.
struct Axis {
  Axis(int64_t cells, int64_t pixels) : pixels(pixels) {
    first.reserve(static_cast<size_t>(pixels));
    for (int64_t i = 0; i < pixels; ++i) {
      const LinearTap t = linear_tap(i, cells, pixels);
      first.push_back(t.first);
      second.push_back(t.second);
      first_weight.push_back(t.first_weight);
      second_weight.push_back(t.second_weight);
    }
  }
  /// The pixels that sample a cell of the range; the taps ascend.
  Range sampling(const Range& cells) const {
    if (cells.size() == 0) return {};
    const auto begin = std::lower_bound(second.begin(), second.end(), static_cast<int32_t>(cells.begin));
    const auto end = std::lower_bound(first.begin(), first.end(), static_cast<int32_t>(cells.end));
    return {begin - second.begin(), std::max(end - first.begin(), begin - second.begin())};
  }

  int64_t pixels;
  std::vector<int32_t> first, second;
  std::vector<float> first_weight, second_weight;
};

struct ImageAxes {
  Axis y, x;
};

// The cells of a mask other than 0. `columns` has room for a row.
INSTASEG_INLINE Area filled_cells(const float* mask, int64_t height, int64_t width, uint32_t* columns) {
  Area cells;
  std::memset(columns, 0, static_cast<size_t>(width) * sizeof(uint32_t));
  for (int64_t y = 0; y < height; ++y) {
    uint32_t any = 0;
    for (int64_t x = 0; x < width; ++x) {
      // The sign does not count.
      const uint32_t bits = std::bit_cast<uint32_t>(mask[y * width + x]) << 1;
      columns[x] |= bits;
      any |= bits;
    }
    if (!any) continue;
    if (cells.y.size() == 0) cells.y.begin = y;
    cells.y.end = y + 1;
  }
  for (int64_t x = 0; x < width; ++x) {
    if (!columns[x]) continue;
    if (cells.x.size() == 0) cells.x.begin = x;
    cells.x.end = x + 1;
  }
  return cells;
}

/// Rows [begin, end) of the region of one mask.
struct Block {
  const float* mask;
  int64_t mask_width;
  const ImageAxes& axes;
  const Area& region;
  int64_t begin, end;
  float threshold;
  uint32_t* words;  ///< of the region; or null
  float* values;
};

// A row of cells at the columns of a tile.
INSTASEG_INLINE void stretch(const float* cells, const Axis& axis, int64_t begin, int64_t count, float* values) {
  const int32_t* first = axis.first.data() + begin;
  const int32_t* second = axis.second.data() + begin;
  const float* first_weight = axis.first_weight.data() + begin;
  const float* second_weight = axis.second_weight.data() + begin;
  for (int64_t i = 0; i < count; ++i)
    values[i] = cells[first[i]] * first_weight[i] + cells[second[i]] * second_weight[i];
}

// 32 pixels of a row as bits. GCC does not vectorise the loop by itself.
INSTASEG_INLINE uint32_t word(const float* upper, const float* lower, float w0, float w1, float threshold) {
  uint32_t bits = 0;
#ifdef INSTASEG_X86
  const __m128 limit = _mm_set1_ps(threshold);
  const __m128 y0 = _mm_set1_ps(w0), y1 = _mm_set1_ps(w1);
  for (int64_t part = 0; part < 8; ++part) {
    const __m128 value =
        _mm_add_ps(_mm_mul_ps(_mm_loadu_ps(upper + part * 4), y0), _mm_mul_ps(_mm_loadu_ps(lower + part * 4), y1));
    bits |= static_cast<uint32_t>(_mm_movemask_ps(_mm_cmpgt_ps(value, limit))) << (part * 4);
  }
#else
  for (int64_t i = 0; i < 32; ++i) bits |= static_cast<uint32_t>(upper[i] * w0 + lower[i] * w1 > threshold) << i;
#endif
  return bits;
}

using Word = uint32_t (*)(const float*, const float*, float, float, float);

template <Word EvaluateWord>
INSTASEG_INLINE void run_block(const Block& block) {
  // Lanes behind the tile's last column are 0, which is above no threshold.
  float buffers[2][kTile + 32];
  const int64_t width = block.region.x.size();
  const Axis& rows = block.axes.y;
  for (int64_t left = 0; left < width; left += kTile) {
    const int64_t count = std::min(kTile, width - left);
    const int64_t column = block.region.x.begin + left;
    float* upper = buffers[0];
    float* lower = buffers[1];
    for (float* buffer : {upper, lower}) std::memset(buffer + count, 0, 32 * sizeof(float));
    int64_t loaded[2] = {-1, -1};
    for (int64_t y = block.begin; y < block.end; ++y) {
      const size_t pixel = static_cast<size_t>(block.region.y.begin + y);
      if (rows.first[pixel] == loaded[1]) {
        std::swap(upper, lower);
        std::swap(loaded[0], loaded[1]);
      }
      if (rows.first[pixel] != loaded[0]) {
        loaded[0] = rows.first[pixel];
        stretch(block.mask + loaded[0] * block.mask_width, block.axes.x, column, count, upper);
      }
      if (rows.second[pixel] != loaded[1]) {
        loaded[1] = rows.second[pixel];
        stretch(block.mask + loaded[1] * block.mask_width, block.axes.x, column, count, lower);
      }
      const float w0 = rows.first_weight[pixel];
      const float w1 = rows.second_weight[pixel];
      if (block.words) {
        uint32_t* words = block.words + y * words_of(width) + left / 32;
        for (int64_t i = 0; i < words_of(count); ++i) {
          words[i] = EvaluateWord(upper + i * 32, lower + i * 32, w0, w1, block.threshold);
        }
      } else {
        float* values = block.values + y * width + left;
        for (int64_t i = 0; i < count; ++i) values[i] = upper[i] * w0 + lower[i] * w1;
      }
    }
  }
}
void block_baseline(const Block& block) { run_block<word>(block); }
Area cells_baseline(const float* mask, int64_t height, int64_t width, uint32_t* columns) {
  return filled_cells(mask, height, width, columns);
}

struct Scratch {
  Scratch(char* base, int64_t mask_width, int threads) {
    Carver carver(base);
    for (int i = 0; i < threads; ++i) columns.push_back(carver.take<uint32_t>(mask_width));
    bytes = carver.used();
  }
  std::vector<uint32_t*> columns;
  size_t bytes;
};

size_t workspace(const UpsampleMasks&, const Specs& in, const Specs&, int threads) {
  return Scratch(nullptr, UpsampleMasks::width(in[0].shape), threads).bytes;
}

template <Area (*FilledCells)(const float*, int64_t, int64_t, uint32_t*), void (*RunBlock)(const Block&)>
void parallel(const UpsampleMasks& op, const KernelContext& context) {
  const Problem p(op, context);
  const Scratch scratch(context.workspace, p.mask_width, context.pool.threads());
  std::vector<ImageAxes> axes;
  for (int64_t image = 0; image < p.images; ++image) {
    axes.push_back({{p.mask_height, p.image_height(image)}, {p.mask_width, p.image_width(image)}});
  }
  std::vector<Area> regions(static_cast<size_t>(p.rows.total()));
  context.parallel_for(p.rows.total(), 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = p.rows.row(i);
      const Area cells =
          FilledCells(p.mask(row), p.mask_height, p.mask_width, scratch.columns[static_cast<size_t>(thread)]);
      const ImageAxes& image = axes[static_cast<size_t>(row / p.capacity)];
      regions[static_cast<size_t>(i)] = {image.y.sampling(cells.y), image.x.sampling(cells.x)};
    }
  });
  const Output out = plan(p, context, std::move(regions));
  // Blocks of about 2^17 pixels, whatever the number of threads.
  const auto block_rows = [](const Area& region) { return (int64_t{1} << 17) / (region.x.size() + 1) + 32; };
  std::vector<int64_t> ends;
  int64_t blocks = 0;
  for (const Area& region : out.regions) {
    blocks += (region.y.size() + block_rows(region) - 1) / block_rows(region);
    ends.push_back(blocks);
  }
  context.parallel_for(blocks, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t index = begin; index < end; ++index) {
      const auto i = static_cast<size_t>(chunk_owner(ends, index));
      const int64_t row = p.rows.row(static_cast<int64_t>(i));
      const Area& region = out.regions[i];
      const int64_t first = (index - (i ? ends[i - 1] : 0)) * block_rows(region);
      RunBlock({.mask = p.mask(row),
                .mask_width = p.mask_width,
                .axes = axes[static_cast<size_t>(row / p.capacity)],
                .region = region,
                .begin = first,
                .end = std::min(first + block_rows(region), region.y.size()),
                .threshold = op.threshold,
                .words = op.soft ? nullptr : out.words + out.offsets[i],
                .values = op.soft ? out.values + out.offsets[i] : nullptr});
    }
  });
}

const KernelRegistration<UpsampleMasks> reference_row{{.run = reference}};
const KernelRegistration<UpsampleMasks> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = parallel<cells_baseline, block_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 inline uint32_t word_avx2(const float* upper, const float* lower, float w0, float w1, float threshold) {
  const __m256 limit = _mm256_set1_ps(threshold);
  const __m256 y0 = _mm256_set1_ps(w0), y1 = _mm256_set1_ps(w1);
  uint32_t bits = 0;
  for (int64_t part = 0; part < 4; ++part) {
    const __m256 value = _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(upper + part * 8), y0),
                                       _mm256_mul_ps(_mm256_loadu_ps(lower + part * 8), y1));
    bits |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(value, limit, _CMP_GT_OQ))) << (part * 8);
  }
  return bits;
}
INSTASEG_AVX2 void block_avx2(const Block& block) { run_block<word_avx2>(block); }
INSTASEG_AVX2 Area cells_avx2(const float* mask, int64_t height, int64_t width, uint32_t* columns) {
  return filled_cells(mask, height, width, columns);
}
const KernelRegistration<UpsampleMasks> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .workspace = workspace, .run = parallel<cells_avx2, block_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
