// adaptivePool2d, variants:
//   reference  one output element at a time
//   baseline   pixels and blocks of channels over all threads (one global pool of one image still has parallel work);
//              vectorised over channels for x86-64 (or the target's baseline)
//   avx2       the same, 8 lanes; the same bits
#include "ops/adaptive_pool2d.h"

#include <algorithm>

#include "cpu/rows.h"

namespace instaseg::cpu {
namespace {

using Range = AdaptivePool2d::Range;

INSTASEG_INLINE bool wins(float challenger, float champion) {
  return (challenger > champion) | (challenger != challenger);
}

void reference(const AdaptivePool2d& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  const float* x = context.inputs[0].f32();
  const ValidRows images(in[0], input_or_absent(context, 1));
  const int64_t image = out.elements(1, 4);
  for (int64_t valid = 0; valid < images.total() * image; ++valid) {
    const int64_t n = images.row(valid / image);
    const int64_t i = n * image + valid % image;
    const int64_t c = i % out[3];
    const Range columns = AdaptivePool2d::cell(i / out[3] % out[2], in[2], out[2]);
    const Range rows = AdaptivePool2d::cell(i / out[3] / out[2] % out[1], in[1], out[1]);
    float result = op.max ? x[((n * in[1] + rows.begin) * in[2] + columns.begin) * in[3] + c] : 0.0f;
    for (int64_t iy = rows.begin; iy < rows.end; ++iy) {
      for (int64_t ix = columns.begin; ix < columns.end; ++ix) {
        const float value = x[((n * in[1] + iy) * in[2] + ix) * in[3] + c];
        if (!op.max) {
          result += value;
        } else if (wins(value, result)) {
          result = value;
        }
      }
    }
    if (!op.max) result /= static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
    context.outputs[0].as<float>()[i] = result;
  }
}

// `width` channels of one output pixel; x points at the first of them in pixel (0, 0) of the image.
INSTASEG_INLINE void pixel(bool max, Range rows, Range columns, int64_t row_stride, int64_t channels,
                           const float* __restrict x, float* __restrict y, int64_t width) {
  const float* first = x + rows.begin * row_stride + columns.begin * channels;
  for (int64_t c = 0; c < width; ++c) y[c] = max ? first[c] : 0.0f;
  for (int64_t iy = rows.begin; iy < rows.end; ++iy) {
    for (int64_t ix = columns.begin; ix < columns.end; ++ix) {
      const float* from = x + iy * row_stride + ix * channels;
      if (max) {
        for (int64_t c = 0; c < width; ++c) y[c] = wins(from[c], y[c]) ? from[c] : y[c];
      } else {
        for (int64_t c = 0; c < width; ++c) y[c] += from[c];
      }
    }
  }
  if (max) return;
  const float count = static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
  for (int64_t c = 0; c < width; ++c) y[c] = y[c] / count;
}
using Pixel = void (*)(bool, Range, Range, int64_t, int64_t, const float*, float*, int64_t);
void pixel_baseline(bool max, Range rows, Range columns, int64_t row_stride, int64_t channels, const float* x, float* y,
                    int64_t width) {
  pixel(max, rows, columns, row_stride, channels, x, y, width);
}

constexpr int64_t kBlock = 64;

template <Pixel Function>
void parallel(const AdaptivePool2d& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  if (out.elements() == 0) return;
  const int64_t channels = in[3];
  const int64_t blocks = (channels + kBlock - 1) / kBlock;
  const int64_t image = in.elements(1, 4);
  const int64_t cells = out[1] * out[2];
  const ValidRows images(in[0], input_or_absent(context, 1));
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, image / (cells * blocks)));
  context.parallel_for(images.total() * cells * blocks, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item % blocks * kBlock;
      const int64_t n = images.row(item / blocks / cells);
      const int64_t at = n * cells + item / blocks % cells;
      const Range columns = AdaptivePool2d::cell(at % out[2], in[2], out[2]);
      const Range rows = AdaptivePool2d::cell(at / out[2] % out[1], in[1], out[1]);
      Function(op.max, rows, columns, in[2] * channels, channels, context.inputs[0].f32() + n * image + first,
               context.outputs[0].as<float>() + at * channels + first, std::min(kBlock, channels - first));
    }
  });
}

const KernelRegistration<AdaptivePool2d> reference_row{{.run = reference}};
const KernelRegistration<AdaptivePool2d> baseline_row{
    {.variant = "baseline", .rank = 10, .run = parallel<pixel_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void pixel_avx2(bool max, Range rows, Range columns, int64_t row_stride, int64_t channels, const float* x,
                              float* y, int64_t width) {
  pixel(max, rows, columns, row_stride, channels, x, y, width);
}
const KernelRegistration<AdaptivePool2d> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<pixel_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
