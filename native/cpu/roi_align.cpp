// roiAlign, variants:
//   reference  every sample of every bin with its four neighbours, as torchvision's C++ operator
//   baseline   regions over all threads. A bin is a weighted sum over the map pixels its samples touch, and the weights
//              are products of one weight a row and one a column, so neighbours shared by samples are read once;
//              vectorised over channels
//   avx2       the same, 64 channels at a time in registers
// Adaptive grids (samplingRatio 0) have ceil(region / output) samples a bin and axis; only those that lie on the map
// are visited, so that the work is bounded by the map for any box.
#include "ops/roi_align.h"

#include "cpu/groups.h"
#include "cpu/rows.h"

#ifdef INSTASEG_X86
#include <immintrin.h>
#endif

namespace instaseg::cpu {
namespace {

struct Region {
  const float* map = nullptr;  ///< of the image and level; null: no level, the output is zero
  RoiAxis y, x;
};

struct Problem {
  Problem(const RoiAlign& op, const KernelContext& context)
      : op(op),
        context(context),
        boxes(context.inputs[0].as<Box>()),
        capacity(context.inputs[0].shape[1]),
        channels(context.outputs[0].shape[3]),
        rows(context.inputs[0].elements() / 4, input_or_absent(context, 1)),
        output(context.outputs[0].as<float>()) {}

  Region region(int64_t row) const {
    const Box& box = boxes[row];
    const int64_t level = op.levels.level(box);
    Region region;
    if (level < 0) return region;
    const TensorView& map = context.inputs[static_cast<size_t>(level) + 2];
    const float scale = op.scales[static_cast<size_t>(level)];
    region.y = roi_axis(op.rule, box.y1, box.y2, scale, op.output.y, map.shape[1]);
    region.x = roi_axis(op.rule, box.x1, box.x2, scale, op.output.x, map.shape[2]);
    if (map.shape[1] == 0 || map.shape[2] == 0) return region;
    region.map = map.f32() + row / capacity * map.shape[1] * map.shape[2] * channels;
    return region;
  }
  float* bins(int64_t row) const { return output + row * op.output.y * op.output.x * channels; }

  const RoiAlign& op;
  const KernelContext& context;
  const Box* boxes;
  int64_t capacity;
  int64_t channels;
  ValidRows rows;
  float* output;
};

void reference(const RoiAlign& op, const KernelContext& context) {
  const Problem p(op, context);
  const int64_t channels = p.channels;
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const int64_t row = p.rows.row(i);
    const Region region = p.region(row);
    float* out = p.bins(row);
    for (int64_t py = 0; py < op.output.y; ++py) {
      for (int64_t px = 0; px < op.output.x; ++px, out += channels) {
        for (int64_t c = 0; c < channels; ++c) out[c] = 0;
        if (!region.map) continue;
        const auto [y_begin, y_end] = roi_sample_range(region.y, py);
        const auto [x_begin, x_end] = roi_sample_range(region.x, px);
        for (int64_t iy = y_begin; iy < y_end; ++iy) {
          for (int64_t ix = x_begin; ix < x_end; ++ix) {
            const float y = region.y.position(py, iy);
            const float x = region.x.position(px, ix);
            if (!region.y.inside(y) || !region.x.inside(x)) continue;
            const RoiNeighbours ny = roi_neighbours(y, region.y.size);
            const RoiNeighbours nx = roi_neighbours(x, region.x.size);
            const float hy = 1.0f - ny.fraction, hx = 1.0f - nx.fraction;
            const float *v1 = region.map + (ny.low * region.x.size + nx.low) * channels,
                        *v2 = region.map + (ny.low * region.x.size + nx.high) * channels,
                        *v3 = region.map + (ny.high * region.x.size + nx.low) * channels,
                        *v4 = region.map + (ny.high * region.x.size + nx.high) * channels;
            const float w1 = hy * hx, w2 = hy * nx.fraction, w3 = ny.fraction * hx, w4 = ny.fraction * nx.fraction;
            for (int64_t c = 0; c < channels; ++c) out[c] += w1 * v1[c] + w2 * v2[c] + w3 * v3[c] + w4 * v4[c];
          }
        }
        for (int64_t c = 0; c < channels; ++c) out[c] /= roi_sample_count(region.y, region.x);
      }
    }
  }
}

/// Weight of one map row (or column) in a bin.
struct Tap {
  int64_t at;
  float weight;
};

/// The taps of all bins of one axis: those of bin i are taps[starts[i]] to taps[starts[i + 1] - 1].
struct Taps {
  Tap* taps;
  int64_t* starts;

  void fill(const RoiAxis& axis, int64_t bins) const {
    int64_t count = 0;
    for (int64_t bin = 0; bin < bins; ++bin) {
      const int64_t begin = count;
      starts[bin] = begin;
      const auto [first, last] = roi_sample_range(axis, bin);
      for (int64_t sample = first; sample < last; ++sample) {
        const float position = axis.position(bin, sample);
        if (!axis.inside(position)) continue;
        const RoiNeighbours n = roi_neighbours(position, axis.size);
        add(begin, count, n.low, 1.0f - n.fraction);
        if (n.high != n.low) add(begin, count, n.high, n.fraction);
      }
    }
    starts[bins] = count;
  }

 private:
  // Samples ascend, so a neighbour is one of the last two taps or a new one.
  void add(int64_t begin, int64_t& count, int64_t at, float weight) const {
    for (int64_t tap = std::max(begin, count - 2); tap < count; ++tap) {
      if (taps[tap].at == at) {
        taps[tap].weight += weight;
        return;
      }
    }
    taps[count++] = {at, weight};
  }
};

/// Upper bound of the taps of one axis.
int64_t tap_capacity(const RoiAlign& op, int64_t bins, int64_t size) {
  const int64_t bin = op.rule.sampling_ratio > 0 ? std::min(2 * op.rule.sampling_ratio, size) : size;
  return bins * bin;
}

struct Scratch {
  Scratch(char* base, const RoiAlign& op, const Shape* maps, int64_t levels, int threads) {
    int64_t height = 1, width = 1;
    for (int64_t level = 0; level < levels; ++level) {
      height = std::max(height, maps[level][1]);
      width = std::max(width, maps[level][2]);
    }
    Carver carver(base);
    for (int thread = 0; thread < threads; ++thread) {
      Taps y{carver.take<Tap>(tap_capacity(op, op.output.y, height)), carver.take<int64_t>(op.output.y + 1)};
      Taps x{carver.take<Tap>(tap_capacity(op, op.output.x, width)), carver.take<int64_t>(op.output.x + 1)};
      per_thread.emplace_back(y, x);
    }
    bytes = carver.used();
  }
  std::vector<std::pair<Taps, Taps>> per_thread;
  size_t bytes;
};

size_t workspace(const RoiAlign& op, const Specs& in, const Specs&, int threads) {
  std::vector<Shape> maps;
  for (size_t i = 2; i < in.size(); ++i) maps.push_back(in[i].shape);
  return Scratch(nullptr, op, maps.data(), static_cast<int64_t>(maps.size()), threads).bytes;
}

/// A bin: out[c] = sum over its rows and columns of weight * map, divided by `samples`.
struct Bin {
  const float* map;
  int64_t row_stride;
  int64_t channels;
  const Tap *y_begin, *y_end, *x_begin, *x_end;
  float samples;
};

template <int Width>
INSTASEG_INLINE void bin_block(const Bin& bin, int64_t c, float* out) {
  float sum[Width] = {};
  for (const Tap* y = bin.y_begin; y != bin.y_end; ++y) {
    const float* row = bin.map + y->at * bin.row_stride + c;
    for (const Tap* x = bin.x_begin; x != bin.x_end; ++x) {
      const float weight = y->weight * x->weight;
      const float* pixel = row + x->at * bin.channels;
      for (int i = 0; i < Width; ++i) sum[i] += weight * pixel[i];
    }
  }
  for (int i = 0; i < Width; ++i) out[c + i] = sum[i] / bin.samples;
}

void bin_baseline(const Bin& bin, float* out) {
  int64_t c = 0;
  for (; c + 16 <= bin.channels; c += 16) bin_block<16>(bin, c, out);
  for (; c < bin.channels; ++c) bin_block<1>(bin, c, out);
}

template <void (*RunBin)(const Bin&, float*)>
void parallel(const RoiAlign& op, const KernelContext& context) {
  const Problem p(op, context);
  const int64_t size = op.output.y * op.output.x * p.channels;
  if (size == 0) return;
  std::vector<Shape> maps;
  for (size_t i = 2; i < context.inputs.size(); ++i) maps.push_back(context.inputs[i].shape);
  const Scratch scratch(context.workspace, op, maps.data(), static_cast<int64_t>(maps.size()), context.pool.threads());
  context.parallel_for(p.rows.total(), 1, [&](int64_t begin, int64_t end, int thread) {
    const auto& [y_taps, x_taps] = scratch.per_thread[static_cast<size_t>(thread)];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = p.rows.row(i);
      const Region region = p.region(row);
      float* out = p.bins(row);
      if (!region.map) {
        std::fill(out, out + size, 0.0f);
        continue;
      }
      y_taps.fill(region.y, op.output.y);
      x_taps.fill(region.x, op.output.x);
      Bin bin{.map = region.map,
              .row_stride = region.x.size * p.channels,
              .channels = p.channels,
              .y_begin = nullptr,
              .y_end = nullptr,
              .x_begin = nullptr,
              .x_end = nullptr,
              .samples = roi_sample_count(region.y, region.x)};
      for (int64_t py = 0; py < op.output.y; ++py) {
        bin.y_begin = y_taps.taps + y_taps.starts[py];
        bin.y_end = y_taps.taps + y_taps.starts[py + 1];
        for (int64_t px = 0; px < op.output.x; ++px, out += p.channels) {
          bin.x_begin = x_taps.taps + x_taps.starts[px];
          bin.x_end = x_taps.taps + x_taps.starts[px + 1];
          RunBin(bin, out);
        }
      }
    }
  });
}

// Rows are found by the dtype of the boxes; features in another one have none here.
bool supports(const RoiAlign&, const Specs& in) { return in[2].dtype == DType::f32; }

const KernelRegistration<RoiAlign> reference_row{{.supports = supports, .run = reference}};
const KernelRegistration<RoiAlign> baseline_row{
    {.variant = "baseline", .rank = 10, .supports = supports, .workspace = workspace, .run = parallel<bin_baseline>}};

#ifdef INSTASEG_X86
// Products and sums are rounded separately, as in the baseline: both variants give the same bits.
template <int Vectors>
INSTASEG_AVX2 inline void bin_block_avx2(const Bin& bin, int64_t c, float* out) {
  __m256 sum[Vectors];
  for (int v = 0; v < Vectors; ++v) sum[v] = _mm256_setzero_ps();
  for (const Tap* y = bin.y_begin; y != bin.y_end; ++y) {
    const float* row = bin.map + y->at * bin.row_stride + c;
    for (const Tap* x = bin.x_begin; x != bin.x_end; ++x) {
      const __m256 weight = _mm256_set1_ps(y->weight * x->weight);
      const float* pixel = row + x->at * bin.channels;
      for (int v = 0; v < Vectors; ++v) {
        sum[v] = _mm256_add_ps(sum[v], _mm256_mul_ps(weight, _mm256_loadu_ps(pixel + v * 8)));
      }
    }
  }
  const __m256 samples = _mm256_set1_ps(bin.samples);
  for (int v = 0; v < Vectors; ++v) _mm256_storeu_ps(out + c + v * 8, _mm256_div_ps(sum[v], samples));
}

INSTASEG_AVX2 void bin_avx2(const Bin& bin, float* out) {
  int64_t c = 0;
  for (; c + 64 <= bin.channels; c += 64) bin_block_avx2<8>(bin, c, out);
  for (; c + 8 <= bin.channels; c += 8) bin_block_avx2<1>(bin, c, out);
  for (; c < bin.channels; ++c) bin_block<1>(bin, c, out);
}

const KernelRegistration<RoiAlign> avx2_row{{.variant = "avx2",
                                             .isa = Isa::avx2,
                                             .rank = 20,
                                             .supports = supports,
                                             .workspace = workspace,
                                             .run = parallel<bin_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
