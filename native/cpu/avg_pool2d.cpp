// avgPool2d, variants:
//   reference  one output element at a time
//   baseline   output rows over all threads; vectorised over the channels of a pixel for x86-64 (or the
//              target's baseline)
//   avx2       the same, 8 lanes; the same bits
#include "ops/avg_pool2d.h"

#include <algorithm>

#include "cpu/window.h"

namespace instaseg::cpu {
namespace {

void reference(const AvgPool2d& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  const PoolWindow& window = op.window;
  const float* x = context.inputs[0].f32();
  for (int64_t i = 0; i < out.elements(); ++i) {
    const int64_t c = i % out[3];
    const int64_t ox = i / out[3] % out[2];
    const int64_t oy = i / out[3] / out[2] % out[1];
    const int64_t n = i / out[3] / out[2] / out[1];
    const int64_t top = oy * window.stride.y - window.padding.y;
    const int64_t left = ox * window.stride.x - window.padding.x;
    float sum = 0;
    bool any = false;
    for (int64_t iy = top; iy < top + window.kernel.y; ++iy) {
      for (int64_t ix = left; ix < left + window.kernel.x; ++ix) {
        if (iy < 0 || iy >= in[1] || ix < 0 || ix >= in[2]) continue;
        sum += x[((n * in[1] + iy) * in[2] + ix) * in[3] + c];
        any = true;
      }
    }
    context.outputs[0].as<float>()[i] =
        any ? sum / static_cast<float>(op.divisor_of({in[1], in[2]}, {top, left})) : 0.0f;
  }
}

INSTASEG_INLINE void row(const AvgPool2d& op, const Shape& in, int64_t oy, int64_t width, const float* __restrict image,
                         float* __restrict y) {
  const PoolWindow& window = op.window;
  const int64_t channels = in[3];
  const int64_t top = oy * window.stride.y - window.padding.y;
  const WindowTaps rows(top, window.kernel.y, 1, in[1]);
  for (int64_t ox = 0; ox < width; ++ox, y += channels) {
    const int64_t left = ox * window.stride.x - window.padding.x;
    const WindowTaps columns(left, window.kernel.x, 1, in[2]);
    for (int64_t c = 0; c < channels; ++c) y[c] = 0.0f;
    if (rows.count == 0 || columns.count == 0) continue;
    for (int64_t ky = 0; ky < rows.count; ++ky) {
      const float* from = image + ((rows.first + ky) * in[2] + columns.first) * channels;
      for (int64_t kx = 0; kx < columns.count; ++kx, from += channels) {
        for (int64_t c = 0; c < channels; ++c) y[c] += from[c];
      }
    }
    const float count = static_cast<float>(op.divisor_of({in[1], in[2]}, {top, left}));
    for (int64_t c = 0; c < channels; ++c) y[c] = y[c] / count;
  }
}
using Row = void (*)(const AvgPool2d&, const Shape&, int64_t, int64_t, const float*, float*);
void row_baseline(const AvgPool2d& op, const Shape& in, int64_t oy, int64_t width, const float* image, float* y) {
  row(op, in, oy, width, image, y);
}

template <Row Function>
void parallel(const AvgPool2d& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  if (out.elements() == 0) return;
  const int64_t image = in.elements(1, 4);
  const int64_t length = out[2] * out[3];
  const int64_t grain = std::max<int64_t>(1, (1 << 12) / length);
  context.parallel_for(out[0] * out[1], grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      Function(op, in, r % out[1], out[2], context.inputs[0].f32() + r / out[1] * image,
               context.outputs[0].as<float>() + r * length);
    }
  });
}

const KernelRegistration<AvgPool2d> reference_row{{.run = reference}};
const KernelRegistration<AvgPool2d> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel<row_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void row_avx2(const AvgPool2d& op, const Shape& in, int64_t oy, int64_t width, const float* image,
                            float* y) {
  row(op, in, oy, width, image, y);
}
const KernelRegistration<AvgPool2d> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<row_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
