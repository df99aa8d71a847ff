// roiAlign, variants:
//   taps  all levels in one launch; a block has some bins of one region. A bin is a weighted sum over the map pixels
//   that
//         its samples touch, and the weights are products of one weight a row and one a column: a thread a bin and axis
//         merges the samples into such taps in shared memory first, so that a 2 x 2 grid reads 9 pixels rather than 16.
//         Threads then take 16 bytes of channels each (f32: 4, f16 and bf16: 8), sums are f32. Where a bin touches more
//         pixels than shared memory has room for, the block visits every sample instead
// Channels that do not divide into 16-byte vectors are taken one by one, with the same arithmetic.
#include "ops/roi_align.h"

#include "cuda/boxes.h"
#include "cuda/launch.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 256;
constexpr int kMaxLevels = 16;
/// Bins of one block: a region of 7 x 7 is one block, enough of them for every multiprocessor from 14 x 14 on.
constexpr int kBinsPerBlock = 49;
constexpr int64_t kTapBytes = 16 * 1024;
constexpr int64_t kMostTaps = 64;  ///< a bin and axis

struct Map {
  const void* data;
  int32_t height, width;
  float scale;
};

struct Problem {
  const Box* boxes;
  RowCounts counts;
  RoiRule rule;
  RoiLevels levels;
  int bins_y, bins_x;
  int channels;
  int taps;  ///< room for a bin and axis
  Map maps[kMaxLevels];
};

/// One map row (or column) in a bin: the offset of its first element, and its weight.
struct Tap {
  int32_t offset;
  float weight;
};

/// Merges the samples of a bin into at most `room` taps, in ascending order; returns their number, or -1.
/// `stride`: elements from one map row (or column) to the next.
__device__ __forceinline__ int make_taps(const RoiAxis& axis, int64_t bin, int32_t stride, Tap* taps, int room) {
  int count = 0;
  // Samples ascend, so a neighbour is one of the last two taps or a new one.
  const auto add = [&](int64_t at, float weight) {
    const int32_t offset = static_cast<int32_t>(at) * stride;
    for (int tap = count > 2 ? count - 2 : 0; tap < count; ++tap) {
      if (taps[tap].offset == offset) {
        taps[tap].weight += weight;
        return true;
      }
    }
    if (count == room) return false;
    taps[count++] = {offset, weight};
    return true;
  };
  const RoiSampleRange range = roi_sample_range(axis, bin);
  for (int64_t sample = range.begin; sample < range.end; ++sample) {
    const float position = axis.position(bin, sample);
    if (!axis.inside(position)) continue;
    const RoiNeighbours n = roi_neighbours(position, axis.size);
    if (!add(n.low, 1.0f - n.fraction)) return -1;
    if (n.high != n.low && !add(n.high, n.fraction)) return -1;
  }
  return count;
}

template <class T, int N>
__device__ __forceinline__ void add_pixel(float (&sum)[N], float weight, const T* pixel) {
  const Vec<T, N> v = load_vec<N>(pixel);
#pragma unroll
  for (int i = 0; i < N; ++i) sum[i] = __fmaf_rn(weight, to_float(v[i]), sum[i]);
}

template <class T, int N>
__device__ __forceinline__ void store_average(T* out, const float (&sum)[N], float samples) {
  Vec<T, N> average;
#pragma unroll
  for (int i = 0; i < N; ++i) average[i] = from_float<T>(sum[i] / samples);
  store_vec(out, average);
}

// One channel of a bin, sample by sample. Not inlined: rare, and its registers would slow down the other way.
template <class T>
__device__ __attribute__((noinline)) float sample_bin(const RoiAxis* axes, int bin_y, int bin_x, const T* map,
                                                      int channels) {
  const RoiAxis& y = axes[0];
  const RoiAxis& x = axes[1];
  const RoiSampleRange rows = roi_sample_range(y, bin_y);
  const RoiSampleRange columns = roi_sample_range(x, bin_x);
  const auto width = static_cast<int>(x.size);
  float sum = 0;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const float at_y = y.position(bin_y, row);
    if (!y.inside(at_y)) continue;
    const RoiNeighbours ny = roi_neighbours(at_y, y.size);
    const T* upper = map + static_cast<int>(ny.low) * width * channels;
    const T* lower = map + static_cast<int>(ny.high) * width * channels;
    for (int64_t column = columns.begin; column < columns.end; ++column) {
      const float at_x = x.position(bin_x, column);
      if (!x.inside(at_x)) continue;
      const RoiNeighbours nx = roi_neighbours(at_x, x.size);
      const int left = static_cast<int>(nx.low) * channels, right = static_cast<int>(nx.high) * channels;
      const float y0 = 1.0f - ny.fraction, x0 = 1.0f - nx.fraction;
      sum = __fmaf_rn(y0 * x0, to_float(upper[left]), sum);
      sum = __fmaf_rn(y0 * nx.fraction, to_float(upper[right]), sum);
      sum = __fmaf_rn(ny.fraction * x0, to_float(lower[left]), sum);
      sum = __fmaf_rn(ny.fraction * nx.fraction, to_float(lower[right]), sum);
    }
  }
  return sum;
}

/// Dynamic shared memory: taps of bins_y rows, then of bins_x columns of bins, `taps` each.
template <class T, int N>
__global__ void __launch_bounds__(kBlock, 3) roi_align_kernel(Problem p, T* __restrict__ output) {
  INSTASEG_DYNAMIC_SHARED(Tap, taps);
  INSTASEG_SHARED(RoiAxis, axes, 2);
  const int64_t region = blockIdx.x;
  if (!p.counts.valid(region)) return;
  const Box box = load_box(p.boxes, region);
  const int64_t level = p.levels.level(box);
  const int bins_x = p.bins_x;
  const int bins = p.bins_y * bins_x;
  const int first = static_cast<int>(blockIdx.y) * kBinsPerBlock;
  const int end = first + kBinsPerBlock < bins ? first + kBinsPerBlock : bins;
  const unsigned units = static_cast<unsigned>(p.channels) / N;
  const unsigned items = static_cast<unsigned>(end - first) * units;
  T* out = output + (region * bins + first) * p.channels;

  const Map& source = p.maps[level < 0 ? 0 : level];
  if (level < 0 || source.height == 0 || source.width == 0) {
    Vec<T, N> zero;
#pragma unroll
    for (int i = 0; i < N; ++i) zero[i] = from_float<T>(0.0f);
    for (unsigned item = threadIdx.x; item < items; item += kBlock) store_vec(out + item * N, zero);
    return;
  }
  const RoiAxis y = roi_axis(p.rule, box.y1, box.y2, source.scale, p.bins_y, source.height);
  const RoiAxis x = roi_axis(p.rule, box.x1, box.x2, source.scale, p.bins_x, source.width);
  const T* map = static_cast<const T*>(source.data) +
                 region / p.counts.capacity * (int64_t{source.height} * source.width * p.channels);

  if (threadIdx.x == 0) {
    axes[0] = y;
    axes[1] = x;
  }
  // A list of taps begins with their number.
  const int list = p.taps + 1;
  bool fits = p.taps > 0;
  for (int i = static_cast<int>(threadIdx.x); fits && i < p.bins_y + bins_x; i += kBlock) {
    const bool row = i < p.bins_y;
    const int count = row ? make_taps(y, i, source.width * p.channels, taps + i * list + 1, p.taps)
                          : make_taps(x, i - p.bins_y, p.channels, taps + i * list + 1, p.taps);
    taps[i * list].offset = count;
    fits = count >= 0;
  }
  fits = __syncthreads_and(fits);

  const float samples = roi_sample_count(y, x);
  for (unsigned item = threadIdx.x; item < items; item += kBlock) {
    const unsigned bin = item / units;
    const unsigned channel = (item - bin * units) * N;
    const int bin_y = (first + static_cast<int>(bin)) / bins_x;
    const int bin_x = first + static_cast<int>(bin) - bin_y * bins_x;
    float sum[N] = {};
    if (fits) {
      const Tap* rows = taps + bin_y * list;
      const Tap* columns = taps + (p.bins_y + bin_x) * list;
      const int row_count = rows[0].offset;
      const int column_count = columns[0].offset;
      for (int row = 1; row <= row_count; ++row) {
        const T* pixels = map + (rows[row].offset + static_cast<int>(channel));
        const float row_weight = rows[row].weight;
#pragma unroll 4
        for (int column = 1; column <= column_count; ++column) {
          const Tap tap = columns[column];
          add_pixel<T, N>(sum, row_weight * tap.weight, pixels + tap.offset);
        }
      }
    } else {
#pragma unroll
      for (int i = 0; i < N; ++i) sum[i] = sample_bin(axes, bin_y, bin_x, map + channel + i, p.channels);
    }
    store_average(out + item * N, sum, samples);
  }
}

template <class T, int N>
void launch_regions(const KernelContext& context, const Problem& p, int64_t regions) {
  // Declared shared memory needs some.
  const size_t shared = static_cast<size_t>((p.bins_y + p.bins_x) * (p.taps + 1)) * sizeof(Tap);
  const dim3 grid{static_cast<unsigned>(regions), blocks_for(int64_t{p.bins_y} * p.bins_x, kBinsPerBlock)};
  launch(context, {.grid = grid, .block = kBlock, .shared_bytes = p.taps ? shared : sizeof(Tap)},
         roi_align_kernel<T, N>, p, context.outputs[0].as<T>());
}

/// Offsets within one image's map and one region are 32-bit.
bool supports(const RoiAlign& op, const Specs& in) {
  const auto fits = [](const Shape& shape) { return shape.elements() <= INT32_MAX; };
  const int64_t channels = in[2].shape[3];
  for (size_t level = 2; level < in.size(); ++level) {
    if (!fits({in[level].shape[1], in[level].shape[2], channels})) return false;
  }
  return op.levels.count <= kMaxLevels && fits({op.output.y, op.output.x, std::max<int64_t>(channels, 1)});
}

void run(const RoiAlign& op, const KernelContext& context) {
  const int64_t regions = context.inputs[0].elements() / 4;
  Problem p{.boxes = context.inputs[0].as<const Box>(),
            .counts = RowCounts::of_groups(context.inputs[0].shape[1], context.inputs[1]),
            .rule = op.rule,
            .levels = op.levels,
            .bins_y = static_cast<int>(op.output.y),
            .bins_x = static_cast<int>(op.output.x),
            .channels = static_cast<int>(context.outputs[0].shape[3]),
            .taps = 0,
            .maps = {}};
  if (p.channels == 0) return;
  int64_t longest = 1;
  for (size_t level = 0; level < op.scales.size(); ++level) {
    const TensorView& map = context.inputs[level + 2];
    p.maps[level] = {map.data, static_cast<int32_t>(map.shape[1]), static_cast<int32_t>(map.shape[2]),
                     op.scales[level]};
    longest = std::max({longest, map.shape[1], map.shape[2]});
  }
  // Two neighbours a sample; an adaptive grid touches about as many pixels as a bin has.
  int64_t taps = std::min(longest, op.rule.sampling_ratio ? 2 * op.rule.sampling_ratio : kMostTaps);
  taps = std::min(taps, kTapBytes / static_cast<int64_t>(sizeof(Tap)) / (op.output.y + op.output.x) - 1);
  p.taps = static_cast<int>(std::clamp<int64_t>(taps, 0, kMostTaps));
  with_float_type(context.outputs[0].dtype, [&]<class T>() {
    constexpr int kVector = 16 / sizeof(T);
    if (p.channels % kVector == 0) {
      launch_regions<T, kVector>(context, p, regions);
    } else {
      launch_regions<T, 1>(context, p, regions);
    }
  });
}

// The first input has the dtype of boxes; that of the features is looked at in `run`.
const KernelRegistration<RoiAlign> taps_row{
    {.variant = "taps", .device = DeviceKind::cuda, .rank = 10, .supports = supports, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
