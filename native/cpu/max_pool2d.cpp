// maxPool2d, variants:
//   reference  one output element at a time
//   baseline   output rows over all threads; vectorised over the channels of a pixel for x86-64 (or the
//              target's baseline)
//   avx2       the same, 8 lanes
#include "ops/max_pool2d.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "cpu/window.h"

namespace instaseg::cpu {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// A later NaN replaces an earlier one, as in PyTorch (only their positions differ). `|` rather than `||` vectorises.
INSTASEG_INLINE bool wins(float challenger, float champion) {
  return (challenger > champion) | (challenger != challenger);
}

void reference(const MaxPool2d& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  const PoolWindow& window = op.window;
  const float* x = context.inputs[0].f32();
  for (int64_t i = 0; i < out.elements(); ++i) {
    const int64_t c = i % out[3];
    const int64_t ox = i / out[3] % out[2];
    const int64_t oy = i / out[3] / out[2] % out[1];
    const int64_t n = i / out[3] / out[2] / out[1];
    float highest = kLowest;
    int64_t position = -1;
    for (int64_t ky = 0; ky < window.kernel.y; ++ky) {
      for (int64_t kx = 0; kx < window.kernel.x; ++kx) {
        const int64_t iy = oy * window.stride.y - window.padding.y + ky * window.dilation.y;
        const int64_t ix = ox * window.stride.x - window.padding.x + kx * window.dilation.x;
        if (iy < 0 || iy >= in[1] || ix < 0 || ix >= in[2]) continue;
        const float value = x[((n * in[1] + iy) * in[2] + ix) * in[3] + c];
        if (position < 0 || wins(value, highest)) {
          highest = value;
          position = iy * in[2] + ix;
        }
      }
    }
    context.outputs[0].as<float>()[i] = highest;
    if (op.indices) context.outputs[1].as<int32_t>()[i] = static_cast<int32_t>(std::max<int64_t>(position, 0));
  }
}

INSTASEG_INLINE void take(const float* __restrict x, float* __restrict y, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c) y[c] = wins(x[c], y[c]) ? x[c] : y[c];
}

INSTASEG_INLINE void take(const float* __restrict x, float* __restrict y, int32_t* __restrict positions,
                          int32_t position, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c) {
    const bool taken = wins(x[c], y[c]);
    y[c] = taken ? x[c] : y[c];
    positions[c] = taken ? position : positions[c];
  }
}

// One row of output pixels; `image` is the input image, y and positions (or null) the row.
INSTASEG_INLINE void row(const PoolWindow& window, const Shape& in, int64_t oy, int64_t width, const float* image,
                         float* y, int32_t* positions) {
  const int64_t channels = in[3];
  const WindowTaps rows(oy * window.stride.y - window.padding.y, window.kernel.y, window.dilation.y, in[1]);
  for (int64_t ox = 0; ox < width; ++ox, y += channels) {
    const WindowTaps columns(ox * window.stride.x - window.padding.x, window.kernel.x, window.dilation.x, in[2]);
    const bool any = rows.count > 0 && columns.count > 0;
    const int64_t first = any ? rows.first * in[2] + columns.first : 0;
    for (int64_t c = 0; c < channels; ++c) y[c] = any ? image[first * channels + c] : kLowest;
    if (positions) std::fill(positions, positions + channels, static_cast<int32_t>(first));
    if (any) {
      for (int64_t ky = 0; ky < rows.count; ++ky) {
        for (int64_t kx = 0; kx < columns.count; ++kx) {
          const int64_t position = (rows.first + ky * rows.step) * in[2] + columns.first + kx * columns.step;
          if (position == first) continue;
          if (positions) {
            take(image + position * channels, y, positions, static_cast<int32_t>(position), channels);
          } else {
            take(image + position * channels, y, channels);
          }
        }
      }
    }
    if (positions) positions += channels;
  }
}
using Row = void (*)(const PoolWindow&, const Shape&, int64_t, int64_t, const float*, float*, int32_t*);
void row_baseline(const PoolWindow& window, const Shape& in, int64_t oy, int64_t width, const float* image, float* y,
                  int32_t* positions) {
  row(window, in, oy, width, image, y, positions);
}

template <Row Function>
void parallel(const MaxPool2d& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  if (out.elements() == 0) return;
  const int64_t image = in.elements(1, 4);
  const int64_t length = out[2] * out[3];
  const int64_t grain = std::max<int64_t>(1, (1 << 12) / length);
  context.parallel_for(out[0] * out[1], grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      Function(op.window, in, r % out[1], out[2], context.inputs[0].f32() + r / out[1] * image,
               context.outputs[0].as<float>() + r * length,
               op.indices ? context.outputs[1].as<int32_t>() + r * length : nullptr);
    }
  });
}

const KernelRegistration<MaxPool2d> reference_row{{.run = reference}};
const KernelRegistration<MaxPool2d> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel<row_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void row_avx2(const PoolWindow& window, const Shape& in, int64_t oy, int64_t width, const float* image,
                            float* y, int32_t* positions) {
  row(window, in, oy, width, image, y, positions);
}
const KernelRegistration<MaxPool2d> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<row_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
