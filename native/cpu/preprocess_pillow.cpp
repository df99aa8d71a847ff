// preprocessPillow, variants:
//   reference  one output element at a time, the rows that it mixes computed anew for each
//   baseline   output rows over all threads; the last 16 resampled rows are kept, as neighbouring output rows share
//              input rows; they are mixed by vectors
//   avx2       the same, 8 lanes
// 8-bit images are resized in integers: all give the same bits. For f32 images all run the reference's loop.
#include "ops/preprocess_pillow.h"

#include <algorithm>
#include <optional>

#include "cpu/groups.h"
#include "cpu/pillow_axis.h"
#include "ops/linear_axis.h"

namespace instaseg::cpu {
namespace {

struct Sizes {
  int64_t height, width, resized_height, resized_width;
};

Sizes sizes_of(const KernelContext& context, int64_t n) {
  const int32_t* row = context.inputs[0].i32() + n * 4;
  return {row[0], row[1], row[2], row[3]};
}

const TensorView& image_of(const KernelContext& context, int64_t n) {
  return context.inputs[static_cast<size_t>(n) + 1];
}

void check(const PreprocessPillow& op, const KernelContext& context) {
  for (int64_t n = 0; n < context.outputs[0].shape[0]; ++n) {
    const Sizes sizes = sizes_of(context, n);
    const Shape& image = image_of(context, n).shape;
    const Shape expected{sizes.height, sizes.width, 3};
    require(image == expected, ErrorCode::shape, op.name, ": image ", n, " has shape ", image, ", its sizes say ",
            expected);
    require(sizes.height > 0 && sizes.width > 0 && sizes.height < (1 << 24) && sizes.width < (1 << 24),
            ErrorCode::shape, op.name, ": image ", n, " of shape ", image, " has no pixels or too many");
    require(sizes.resized_height > 0 && sizes.resized_height <= op.height && sizes.resized_width > 0 &&
                sizes.resized_width <= op.width,
            ErrorCode::shape, op.name, ": image ", n, " resized to ", sizes.resized_height, " x ", sizes.resized_width,
            " does not fit the batch of ", op.height, " x ", op.width);
  }
}

float normalised(const PreprocessPillow& op, int64_t c, float value) {
  const size_t k = static_cast<size_t>(c);
  return (value - static_cast<float>(op.mean[k])) / static_cast<float>(op.std[k]);
}

/// One number of the resized f32 image.
float linear_value(const TensorView& image, const Sizes& sizes, int64_t oy, int64_t ox, int64_t channel) {
  const LinearTap y = linear_tap(oy, sizes.height, sizes.resized_height);
  const LinearTap x = linear_tap(ox, sizes.width, sizes.resized_width);
  const auto mixed = [&](int64_t row) {
    const float* pixels = image.f32() + row * sizes.width * 3 + channel;
    return x.first_weight * pixels[x.first * 3] + x.second_weight * pixels[x.second * 3];
  };
  return y.first_weight * mixed(y.first) + y.second_weight * mixed(y.second);
}

void linear_row(const PreprocessPillow& op, const TensorView& image, const Sizes& sizes, int64_t oy, float* y) {
  for (int64_t ox = 0; ox < sizes.resized_width; ++ox) {
    for (int64_t c = 0; c < 3; ++c) {
      y[ox * 3 + c] = normalised(op, c, linear_value(image, sizes, oy, ox, op.image_channel(c)));
    }
  }
}

/// Both axes of an 8-bit image.
struct Axes {
  explicit Axes(const Sizes& sizes) : y(sizes.height, sizes.resized_height), x(sizes.width, sizes.resized_width) {}
  PillowAxis y, x;
};

void reference(const PreprocessPillow& op, const KernelContext& context) {
  check(op, context);
  const Shape& out = context.outputs[0].shape;
  for (int64_t n = 0; n < out[0]; ++n) {
    const Sizes sizes = sizes_of(context, n);
    const TensorView& image = image_of(context, n);
    const bool eight_bits = image.dtype == DType::u8;
    const std::optional<Axes> axes = eight_bits ? std::optional<Axes>(sizes) : std::nullopt;
    const auto resampled = [&](int64_t row, int64_t ox, int64_t channel) {
      const PillowFilter::Span span = axes->x.span(ox);
      int32_t sum = kPillowHalf;
      for (int64_t k = 0; k < span.count; ++k) {
        const int64_t at = (row * sizes.width + span.first + k) * 3 + channel;
        sum += image.as<uint8_t>()[at] * axes->x.weights(ox)[k];
      }
      return pillow_pixel(sum);
    };
    const auto pillow_value = [&](int64_t oy, int64_t ox, int64_t channel) {
      const PillowFilter::Span span = axes->y.span(oy);
      int32_t sum = kPillowHalf;
      for (int64_t k = 0; k < span.count; ++k) {
        sum += resampled(span.first + k, ox, channel) * axes->y.weights(oy)[k];
      }
      return static_cast<float>(pillow_pixel(sum));
    };
    for (int64_t i = 0; i < out[1] * out[2] * 3; ++i) {
      const int64_t c = i % 3;
      const int64_t ox = i / 3 % out[2];
      const int64_t oy = i / 3 / out[2];
      float& result = context.outputs[0].as<float>()[n * out[1] * out[2] * 3 + i];
      if (oy >= sizes.resized_height || ox >= sizes.resized_width) {
        result = 0.0f;
      } else if (eight_bits) {
        result = normalised(op, c, pillow_value(oy, ox, op.image_channel(c)));
      } else {
        result = normalised(op, c, linear_value(image, sizes, oy, ox, op.image_channel(c)));
      }
    }
  }
}

/// Resampled rows that a thread keeps. Shrinking to a seventh or less takes more rows at a time: each is then computed
/// for every output row that has it.
constexpr int64_t kKept = 16;

/// One input row of an 8-bit image, resampled along x.
INSTASEG_INLINE void resample_row(const uint8_t* __restrict x, const PillowAxis& axis, int64_t width,
                                  uint8_t* __restrict y) {
  for (int64_t ox = 0; ox < width; ++ox) {
    const PillowFilter::Span span = axis.span(ox);
    const int32_t* weights = axis.weights(ox);
    const uint8_t* pixel = x + int64_t{span.first} * 3;
    int32_t s0 = kPillowHalf, s1 = kPillowHalf, s2 = kPillowHalf;
    for (int64_t k = 0; k < span.count; ++k, pixel += 3) {
      s0 += pixel[0] * weights[k];
      s1 += pixel[1] * weights[k];
      s2 += pixel[2] * weights[k];
    }
    y[ox * 3] = static_cast<uint8_t>(pillow_pixel(s0));
    y[ox * 3 + 1] = static_cast<uint8_t>(pillow_pixel(s1));
    y[ox * 3 + 2] = static_cast<uint8_t>(pillow_pixel(s2));
  }
}

/// The resampled rows of one image that were needed last, row r in slot r % kKept.
class RowCache {
 public:
  RowCache(const TensorView& image, const PillowAxis& axis, int64_t width, uint8_t* buffer)
      : image_(image), axis_(axis), width_(width), buffer_(buffer) {
    std::fill(rows_, rows_ + kKept, -1);
  }
  INSTASEG_INLINE const uint8_t* row(int64_t r) {
    const int64_t slot = r % kKept;
    uint8_t* kept = buffer_ + slot * width_ * 3;
    if (rows_[slot] != r) {
      resample_row(image_.as<uint8_t>() + r * image_.shape[1] * 3, axis_, width_, kept);
      rows_[slot] = r;
    }
    return kept;
  }

 private:
  const TensorView& image_;
  const PillowAxis& axis_;
  int64_t width_;
  uint8_t* buffer_;
  int64_t rows_[kKept];
};

/// Adds a row times its weight.
INSTASEG_INLINE void add_row(const uint8_t* __restrict x, int32_t weight, int64_t count, int32_t* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += x[i] * weight;
}

/// What a thread works with: `rows` holds kKept rows of the output's width, `sums` one.
struct Scratch {
  Scratch(Carver& carver, int64_t width)
      : rows(carver.take<uint8_t>(kKept * width * 3)), sums(carver.take<int32_t>(width * 3)) {}
  uint8_t* rows;
  int32_t* sums;
};

INSTASEG_INLINE void pillow_row(const PreprocessPillow& op, const Axes& axes, RowCache& cache, int64_t oy,
                                int64_t width, int32_t* sums, float* __restrict y) {
  const PillowFilter::Span span = axes.y.span(oy);
  const int32_t* weights = axes.y.weights(oy);
  std::fill(sums, sums + width * 3, kPillowHalf);
  for (int64_t k = 0; k < span.count; ++k) add_row(cache.row(span.first + k), weights[k], width * 3, sums);
  for (int64_t c = 0; c < 3; ++c) {
    const float mean = static_cast<float>(op.mean[static_cast<size_t>(c)]);
    const float std = static_cast<float>(op.std[static_cast<size_t>(c)]);
    const int64_t channel = op.image_channel(c);
    for (int64_t x = 0; x < width; ++x) {
      y[x * 3 + c] = (static_cast<float>(pillow_pixel(sums[x * 3 + channel])) - mean) / std;
    }
  }
}
using Row = void (*)(const PreprocessPillow&, const Axes&, RowCache&, int64_t, int64_t, int32_t*, float*);
void row_baseline(const PreprocessPillow& op, const Axes& axes, RowCache& cache, int64_t oy, int64_t width,
                  int32_t* sums, float* y) {
  pillow_row(op, axes, cache, oy, width, sums, y);
}

size_t workspace(const PreprocessPillow&, const Specs&, const Specs& outputs, int threads) {
  Carver carver(nullptr);
  for (int i = 0; i < threads; ++i) Scratch(carver, outputs[0].shape[2]);
  return carver.used();
}

template <Row Function>
void parallel(const PreprocessPillow& op, const KernelContext& context) {
  check(op, context);
  const Shape& out = context.outputs[0].shape;
  for (int64_t n = 0; n < out[0]; ++n) {
    const Sizes sizes = sizes_of(context, n);
    const TensorView& image = image_of(context, n);
    const bool eight_bits = image.dtype == DType::u8;
    const std::optional<Axes> axes = eight_bits ? std::optional<Axes>(sizes) : std::nullopt;
    // Each chunk resamples the rows above its first one anew.
    context.parallel_for(out[1], eight_bits ? 32 : 4, [&](int64_t begin, int64_t end, int thread) {
      Carver carver(context.workspace);
      for (int i = 0; i < thread; ++i) Scratch(carver, out[2]);
      const Scratch scratch(carver, out[2]);
      std::optional<RowCache> cache;
      if (eight_bits) cache.emplace(image, axes->x, sizes.resized_width, scratch.rows);
      for (int64_t oy = begin; oy < end; ++oy) {
        const int64_t width = oy < sizes.resized_height ? sizes.resized_width : 0;
        float* y = context.outputs[0].as<float>() + (n * out[1] + oy) * out[2] * 3;
        if (width && eight_bits) Function(op, *axes, *cache, oy, width, scratch.sums, y);
        if (width && !eight_bits) linear_row(op, image, sizes, oy, y);
        std::fill(y + width * 3, y + out[2] * 3, 0.0f);
      }
    });
  }
}

// Rows are found by the first input, the sizes; the images' own types are told apart inside.
const KernelRegistration<PreprocessPillow> reference_row{{.dtype = DType::i32, .run = reference}};
const KernelRegistration<PreprocessPillow> baseline_row{
    {.variant = "baseline", .dtype = DType::i32, .rank = 10, .workspace = workspace, .run = parallel<row_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void row_avx2(const PreprocessPillow& op, const Axes& axes, RowCache& cache, int64_t oy, int64_t width,
                            int32_t* sums, float* y) {
  pillow_row(op, axes, cache, oy, width, sums, y);
}
const KernelRegistration<PreprocessPillow> avx2_row{{.variant = "avx2",
                                                     .dtype = DType::i32,
                                                     .isa = Isa::avx2,
                                                     .rank = 20,
                                                     .workspace = workspace,
                                                     .run = parallel<row_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
