// preprocessPillow, variants:
//   simt  one output pixel a thread, the images of a batch side by side in one launch. Nothing lies between the two
//         axes: each thread resamples the rows that it mixes at its own column, four at a time, so that scratch memory
//         does not depend on the images. An image shrunk k times is read 4 times over (through the cache), where an
//         image between the axes would be 2 times and be written and read itself. Weights come from a table that a
//         kernel of its own fills first; spans of more than 16 pixels (shrunk more than 7 times) have only their sum
//         there and each weight worked out in f64 where it is used, which is slow on GPUs with little f64.
//         The bits of the CPU's variants
// An image whose sizes are wrong leaves its slot as it was and is reported (cuda/fault.h).
#include "ops/preprocess_pillow.h"

#include <algorithm>

#include "cuda/image_batch.h"
#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "ops/linear_axis.h"
#include "ops/pillow_filter.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;
// Weights of a span that the table has room for.
constexpr int kTabled = 16;
// Rows that a thread resamples together: a weight is then fetched once for all of them.
constexpr int kRows = 4;

// What an output row or column takes of the image.
struct Tap {
  PillowFilter::Span span;
  double sum;  ///< of the exact weights
};

// Taps and weights of the rows of a slot, then of its columns, for each image.
struct Table {
  Table(char* memory, int64_t images, Slot slot)
      : rows(slot.height),
        length(slot.height + slot.width),
        taps(reinterpret_cast<Tap*>(memory)),
        weights(reinterpret_cast<int32_t*>(taps + images * length)) {}

  static size_t bytes(int64_t images, Slot slot) {
    return static_cast<size_t>(images * (slot.height + slot.width)) * (sizeof(Tap) + kTabled * sizeof(int32_t));
  }
  __device__ Tap& tap(int64_t image, int64_t i) const { return taps[image * length + i]; }
  // Neighbouring taps have their weights side by side.
  __device__ int32_t& weight(int64_t image, int64_t i, int64_t k) const {
    return weights[(image * kTabled + k) * length + i];
  }

  int64_t rows;
  int64_t length;
  Tap* taps;
  int32_t* weights;
};

// Of the output.
struct Channels {
  bool swapped;
  float mean[3];
  float std[3];
};

__device__ void fill_tap(const Table& table, int64_t image, int64_t at, const PillowFilter& filter, int64_t i) {
  const PillowFilter::Span span = filter.span(i);
  double sum = 0.0;
  for (int64_t k = 0; k < span.count; ++k) sum += filter.weight(i, k);
  table.tap(image, at) = {span, sum};
  if (span.count > kTabled) return;
  for (int64_t k = 0; k < span.count; ++k) {
    table.weight(image, at, k) = PillowFilter::rounded(filter.weight(i, k), sum);
  }
}

// For every image (blockIdx.y).
__global__ void __launch_bounds__(kBlock) taps_kernel(Table table, ImageBatch batch, Slot slot, uint64_t* fault) {
  const int64_t image = blockIdx.y;
  if (!has_right_sizes(batch, image, slot, grid_thread() == 0, fault) || !batch.bytes[image]) return;
  const int32_t* size = batch.sizes + image * 4;
  for (int64_t i = grid_thread(); i < table.length; i += grid_threads()) {
    if (i < size[2]) fill_tap(table, image, i, PillowFilter(size[0], size[2]), i);
    const int64_t column = i - table.rows;
    if (column >= 0 && column < size[3]) fill_tap(table, image, i, PillowFilter(size[1], size[3]), column);
  }
}

// The pixel of an 8-bit image, all but normalised; weights by their place in the span.
template <class RowWeight, class ColumnWeight>
__device__ __forceinline__ void mix_pillow(const uint8_t* __restrict__ image, int64_t width, PillowFilter::Span rows,
                                           PillowFilter::Span columns, const RowWeight& row_weight,
                                           const ColumnWeight& column_weight, int32_t (&pixel)[3]) {
  int32_t sums[3] = {kPillowHalf, kPillowHalf, kPillowHalf};
  const uint8_t* corner = image + (int64_t{rows.first} * width + columns.first) * 3;
  for (int32_t first = 0; first < rows.count; first += kRows) {
    int32_t resampled[kRows][3];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < 3; ++c) resampled[r][c] = kPillowHalf;
    }
    for (int32_t k = 0; k < columns.count; ++k) {
      const int32_t weight = column_weight(k);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (first + r >= rows.count) break;
        const uint8_t* from = corner + ((first + r) * width + k) * 3;
#pragma unroll
        for (int c = 0; c < 3; ++c) resampled[r][c] += from[c] * weight;
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (first + r >= rows.count) break;
      const int32_t weight = row_weight(first + r);
#pragma unroll
      for (int c = 0; c < 3; ++c) sums[c] += pillow_pixel(resampled[r][c]) * weight;
    }
  }
#pragma unroll
  for (int c = 0; c < 3; ++c) pixel[c] = pillow_pixel(sums[c]);
}

__device__ __forceinline__ void sample_pillow(const uint8_t* __restrict__ image, const Table& table, int64_t n,
                                              const int32_t* size, int64_t oy, int64_t ox, float (&pixel)[3]) {
  const Tap y = table.tap(n, oy);
  const Tap x = table.tap(n, table.rows + ox);
  int32_t mixed[3];
  const auto tabled_row = [&](int32_t k) { return table.weight(n, oy, k); };
  const auto tabled_column = [&](int32_t k) { return table.weight(n, table.rows + ox, k); };
  if (y.span.count <= kTabled && x.span.count <= kTabled) {
    mix_pillow(image, size[1], y.span, x.span, tabled_row, tabled_column, mixed);
  } else {
    const PillowFilter rows(size[0], size[2]);
    const PillowFilter columns(size[1], size[3]);
    const auto row = [&](int32_t k) { return PillowFilter::rounded(rows.weight(oy, k), y.sum); };
    const auto column = [&](int32_t k) { return PillowFilter::rounded(columns.weight(ox, k), x.sum); };
    mix_pillow(image, size[1], y.span, x.span, row, column, mixed);
  }
#pragma unroll
  for (int c = 0; c < 3; ++c) pixel[c] = static_cast<float>(mixed[c]);
}

__device__ __forceinline__ void sample_linear(const float* __restrict__ image, const int32_t* size, int64_t oy,
                                              int64_t ox, float (&pixel)[3]) {
  const LinearTap y = linear_tap(oy, size[0], size[2]);
  const LinearTap x = linear_tap(ox, size[1], size[3]);
  const auto mixed = [&](int64_t row, int c) {
    const float* from = image + row * size[1] * 3 + c;
    return x.first_weight * from[int64_t{x.first} * 3] + x.second_weight * from[int64_t{x.second} * 3];
  };
#pragma unroll
  for (int c = 0; c < 3; ++c) pixel[c] = y.first_weight * mixed(y.first, c) + y.second_weight * mixed(y.second, c);
}

__global__ void __launch_bounds__(kBlock) pixels_kernel(float* __restrict__ output, Table table, ImageBatch batch,
                                                        Slot slot, Divider columns, Channels channels) {
  const int64_t image = blockIdx.y;
  if (complaint_about(batch, image, slot) != kFine) return;
  const int32_t* size = batch.sizes + image * 4;
  float* to = output + (batch.first + image) * slot.height * slot.width * 3;
  for (int64_t i = grid_thread(); i < slot.height * slot.width; i += grid_threads()) {
    const Divider::Split at = columns.split(i);
    if (!(at.quotient < size[2] && at.remainder < size[3])) {
      to[i * 3] = to[i * 3 + 1] = to[i * 3 + 2] = 0.0f;
      continue;
    }
    float pixel[3];
    if (batch.bytes[image]) {
      sample_pillow(static_cast<const uint8_t*>(batch.data[image]), table, image, size, at.quotient, at.remainder,
                    pixel);
    } else {
      sample_linear(static_cast<const float*>(batch.data[image]), size, at.quotient, at.remainder, pixel);
    }
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const float value = channels.swapped ? pixel[2 - c] : pixel[c];
      to[i * 3 + c] = (value - channels.mean[c]) / channels.std[c];
    }
  }
}

void run(const PreprocessPillow& op, const KernelContext& context) {
  const TensorView& output = context.outputs[0];
  const Slot slot{op.height, op.width};
  Channels channels;
  channels.swapped = op.swap_channels;
  for (int64_t c = 0; c < 3; ++c) {
    channels.mean[c] = static_cast<float>(op.mean[static_cast<size_t>(c)]);
    channels.std[c] = static_cast<float>(op.std[static_cast<size_t>(c)]);
  }
  const int64_t images = output.shape[0];
  const Table table(context.workspace, std::min(kImages, images), slot);
  for (int64_t first = 0; first < images; first += kImages) {
    const ImageBatch batch(context, first);
    const auto grid = [&](int64_t items) {
      return dim3(blocks_for(items, kBlock), static_cast<unsigned>(batch.count));
    };
    launch(context, {.grid = grid(table.length), .block = kBlock}, taps_kernel, table, batch, slot, context.fault);
    launch(context, {.grid = grid(slot.height * slot.width), .block = kBlock}, pixels_kernel, output.as<float>(), table,
           batch, slot, Divider(slot.width), channels);
  }
}

size_t workspace(const PreprocessPillow& op, const Specs&, const Specs& outputs, int) {
  return Table::bytes(std::min(kImages, outputs[0].shape[0]), {op.height, op.width});
}

// Rows are found by the first input, the sizes; the images' own types are told apart inside.
const KernelRegistrations<PreprocessPillow> simt(
    {DType::i32},
    {.variant = "simt", .rank = 10, .workspace = workspace, .run = run, .explain = explain_sizes<PreprocessPillow>});

}  // namespace
}  // namespace instaseg::cuda
