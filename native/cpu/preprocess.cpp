// preprocess, variants:
//   reference  one output element at a time, in the order of operations that the attribute names
//   baseline   output rows of all images over all threads, in one pass with a buffer of a few thousand numbers: two
//   image
//              rows are mixed (vectorised), then two pixels of that by a table, then x * a + b a channel. The weights
//              of a sample add up to 1, so both orders are the same function; they round differently by less than 1e-6
//              of the largest value. For x86-64 (or the target's baseline)
//   avx2       the same, 8 lanes; the same bits
#include "ops/preprocess.h"

#include <algorithm>

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

void check(const Preprocess& op, const KernelContext& context) {
  for (int64_t n = 0; n < context.outputs[0].shape[0]; ++n) {
    const Sizes sizes = sizes_of(context, n);
    const Shape& image = context.inputs[static_cast<size_t>(n) + 1].shape;
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

float pixel(const TensorView& image, int64_t y, int64_t x, int64_t c) {
  const int64_t at = (y * image.shape[1] + x) * 3 + c;
  return image.dtype == DType::u8 ? static_cast<float>(image.as<uint8_t>()[at]) : image.f32()[at];
}

void reference(const Preprocess& op, const KernelContext& context) {
  check(op, context);
  const Shape& out = context.outputs[0].shape;
  for (int64_t i = 0; i < out.elements(); ++i) {
    const int64_t c = i % 3;
    const int64_t ox = i / 3 % out[2];
    const int64_t oy = i / 3 / out[2] % out[1];
    const int64_t n = i / 3 / out[2] / out[1];
    const Sizes sizes = sizes_of(context, n);
    float& result = context.outputs[0].as<float>()[i];
    if (oy >= sizes.resized_height || ox >= sizes.resized_width) {
      result = 0.0f;
      continue;
    }
    const size_t k = static_cast<size_t>(op.statistics_channel(c));
    const auto normalised = [&](float value) {
      return (value - static_cast<float>(op.mean[k])) / static_cast<float>(op.std[k]);
    };
    const auto at = [&](int64_t y, int64_t x) {
      const float value =
          pixel(context.inputs[static_cast<size_t>(n) + 1], y, x, op.image_channel(c)) * static_cast<float>(op.scale);
      return op.resize_first ? value : normalised(value);
    };
    const LinearTap y = linear_tap(oy, sizes.height, sizes.resized_height);
    const LinearTap x = linear_tap(ox, sizes.width, sizes.resized_width);
    const float upper = x.first_weight * at(y.first, x.first) + x.second_weight * at(y.first, x.second);
    const float lower = x.first_weight * at(y.second, x.first) + x.second_weight * at(y.second, x.second);
    const float mixed = y.first_weight * upper + y.second_weight * lower;
    result = op.resize_first ? normalised(mixed) : mixed;
  }
}

// For channel c of the output: the image's channel, and what normalising does to it.
struct Channels {
  explicit Channels(const Preprocess& op) {
    for (int64_t c = 0; c < 3; ++c) {
      const size_t k = static_cast<size_t>(op.statistics_channel(c));
      source[c] = op.image_channel(c);
      factor[c] = static_cast<float>(op.scale / op.std[k]);
      offset[c] = static_cast<float>(-op.mean[k] / op.std[k]);
    }
  }
  int64_t source[3];
  float factor[3];
  float offset[3];
};

constexpr int64_t kBuffer = 4096;

// One output row of `width` pixels from two image rows. It goes by stretches whose source pixels fit the buffer; the
// two pixels of one sample always do.
template <class T>
INSTASEG_INLINE void row(const T* __restrict upper, const T* __restrict lower, float upper_weight, float lower_weight,
                         const LinearTap* __restrict taps, int64_t width, const Channels& channels,
                         float* __restrict y) {
  float buffer[kBuffer];
  const float f0 = channels.factor[0], f1 = channels.factor[1], f2 = channels.factor[2];
  const float o0 = channels.offset[0], o1 = channels.offset[1], o2 = channels.offset[2];
  const int64_t s0 = channels.source[0], s1 = channels.source[1], s2 = channels.source[2];
  for (int64_t begin = 0; begin < width;) {
    const int64_t from = taps[begin].first;
    int64_t end = begin + 1;
    while (end < width && (taps[end].second + 1 - from) * 3 <= kBuffer) ++end;
    const int64_t count = (taps[end - 1].second + 1 - from) * 3;
    const T* __restrict a = upper + from * 3;
    const T* __restrict b = lower + from * 3;
    for (int64_t i = 0; i < count; ++i) {
      buffer[i] = upper_weight * static_cast<float>(a[i]) + lower_weight * static_cast<float>(b[i]);
    }
    for (int64_t ox = begin; ox < end; ++ox) {
      const LinearTap& tap = taps[ox];
      const float* left = buffer + (tap.first - from) * 3;
      const float* right = buffer + (tap.second - from) * 3;
      float* to = y + ox * 3;
      to[0] = (tap.first_weight * left[s0] + tap.second_weight * right[s0]) * f0 + o0;
      to[1] = (tap.first_weight * left[s1] + tap.second_weight * right[s1]) * f1 + o1;
      to[2] = (tap.first_weight * left[s2] + tap.second_weight * right[s2]) * f2 + o2;
    }
    begin = end;
  }
}

INSTASEG_INLINE void row(const TensorView& image, const LinearTap& vertical, const LinearTap* taps, int64_t width,
                         const Channels& channels, float* y) {
  const int64_t stride = image.shape[1] * 3;
  if (image.dtype == DType::u8) {
    const uint8_t* x = image.as<uint8_t>();
    row(x + vertical.first * stride, x + vertical.second * stride, vertical.first_weight, vertical.second_weight, taps,
        width, channels, y);
  } else {
    const float* x = image.f32();
    row(x + vertical.first * stride, x + vertical.second * stride, vertical.first_weight, vertical.second_weight, taps,
        width, channels, y);
  }
}
using Row = void (*)(const TensorView&, const LinearTap&, const LinearTap*, int64_t, const Channels&, float*);
void row_baseline(const TensorView& image, const LinearTap& vertical, const LinearTap* taps, int64_t width,
                  const Channels& channels, float* y) {
  row(image, vertical, taps, width, channels, y);
}

size_t workspace(const Preprocess&, const Specs&, const Specs& outputs, int) {
  return static_cast<size_t>(outputs[0].shape[0] * outputs[0].shape[2]) * sizeof(LinearTap);
}

template <Row Function>
void parallel(const Preprocess& op, const KernelContext& context) {
  check(op, context);
  const Shape& out = context.outputs[0].shape;
  const Channels channels(op);
  LinearTap* taps = reinterpret_cast<LinearTap*>(context.workspace);
  for (int64_t n = 0; n < out[0]; ++n) {
    const Sizes sizes = sizes_of(context, n);
    for (int64_t ox = 0; ox < sizes.resized_width; ++ox) {
      taps[n * out[2] + ox] = linear_tap(ox, sizes.width, sizes.resized_width);
    }
  }
  context.parallel_for(out[0] * out[1], 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t n = r / out[1];
      const int64_t oy = r % out[1];
      const Sizes sizes = sizes_of(context, n);
      const int64_t width = oy < sizes.resized_height ? sizes.resized_width : 0;
      float* y = context.outputs[0].as<float>() + r * out[2] * 3;
      if (width) {
        Function(context.inputs[static_cast<size_t>(n) + 1], linear_tap(oy, sizes.height, sizes.resized_height),
                 taps + n * out[2], width, channels, y);
      }
      std::fill(y + width * 3, y + out[2] * 3, 0.0f);
    }
  });
}

// Rows are found by the first input, the sizes; the images' own types are told apart inside.
const KernelRegistration<Preprocess> reference_row{{.dtype = DType::i32, .run = reference}};
const KernelRegistration<Preprocess> baseline_row{
    {.variant = "baseline", .dtype = DType::i32, .rank = 10, .workspace = workspace, .run = parallel<row_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void row_avx2(const TensorView& image, const LinearTap& vertical, const LinearTap* taps, int64_t width,
                            const Channels& channels, float* y) {
  row(image, vertical, taps, width, channels, y);
}
const KernelRegistration<Preprocess> avx2_row{{.variant = "avx2",
                                               .dtype = DType::i32,
                                               .isa = Isa::avx2,
                                               .rank = 20,
                                               .workspace = workspace,
                                               .run = parallel<row_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
