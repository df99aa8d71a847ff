// gridSample, variants:
//   reference  one output element at a time
//   baseline   output pixels over all threads; vectorised over channels for x86-64 (or the target's baseline)
//   avx2       the same, 8 lanes; the same bits
#include "ops/grid_sample.h"

#include <algorithm>
#include <cmath>

namespace instaseg::cpu {
namespace {

// The corners of one sample that lie inside the image: offsets of their pixels and weights.
struct Corners {
  Corners(float gx, float gy, int64_t height, int64_t width, bool align_corners) {
    const float x = unnormalised(gx, width, align_corners);
    const float y = unnormalised(gy, height, align_corners);
    // NaN fails this test, and what passes it converts to integers safely.
    if (!(x > -1.0f && x < static_cast<float>(width) && y > -1.0f && y < static_cast<float>(height))) return;
    const float left = std::floor(x);
    const float top = std::floor(y);
    const float right_weight = x - left;
    const float bottom_weight = y - top;
    const float weights[2][2] = {
        {(1.0f - bottom_weight) * (1.0f - right_weight), (1.0f - bottom_weight) * right_weight},
        {bottom_weight * (1.0f - right_weight), bottom_weight * right_weight}};
    for (int64_t dy = 0; dy < 2; ++dy) {
      for (int64_t dx = 0; dx < 2; ++dx) {
        const int64_t iy = static_cast<int64_t>(top) + dy;
        const int64_t ix = static_cast<int64_t>(left) + dx;
        if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
        pixel[count] = iy * width + ix;
        weight[count++] = weights[dy][dx];
      }
    }
  }
  static float unnormalised(float at, int64_t size, bool align_corners) {
    const float length = static_cast<float>(size);
    return align_corners ? (at + 1.0f) / 2.0f * (length - 1.0f) : ((at + 1.0f) * length - 1.0f) / 2.0f;
  }

  int count = 0;
  int64_t pixel[4];
  float weight[4];
};

void reference(const GridSample& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  const int64_t channels = out[3];
  for (int64_t i = 0; i < out.elements(); ++i) {
    const float* grid = context.inputs[1].f32() + i / channels * 2;
    const int64_t n = i / (out[1] * out[2] * channels);
    const Corners corners(grid[0], grid[1], in[1], in[2], op.align_corners);
    float sum = 0.0f;
    for (int k = 0; k < corners.count; ++k) {
      sum +=
          corners.weight[k] * context.inputs[0].f32()[(n * in[1] * in[2] + corners.pixel[k]) * channels + i % channels];
    }
    context.outputs[0].as<float>()[i] = sum;
  }
}

INSTASEG_INLINE void pixel(const Corners& corners, const float* __restrict image, float* __restrict y,
                           int64_t channels) {
  if (corners.count == 4) {
    const float* a = image + corners.pixel[0] * channels;
    const float* b = image + corners.pixel[1] * channels;
    const float* c = image + corners.pixel[2] * channels;
    const float* d = image + corners.pixel[3] * channels;
    const float wa = corners.weight[0], wb = corners.weight[1], wc = corners.weight[2], wd = corners.weight[3];
    // From 0 as below, for the same zero where all terms are -0.
    for (int64_t k = 0; k < channels; ++k) y[k] = 0.0f + wa * a[k] + wb * b[k] + wc * c[k] + wd * d[k];
    return;
  }
  for (int64_t k = 0; k < channels; ++k) y[k] = 0.0f;
  for (int corner = 0; corner < corners.count; ++corner) {
    const float* from = image + corners.pixel[corner] * channels;
    const float weight = corners.weight[corner];
    for (int64_t k = 0; k < channels; ++k) y[k] += weight * from[k];
  }
}
using Pixel = void (*)(const Corners&, const float*, float*, int64_t);
void pixel_baseline(const Corners& corners, const float* image, float* y, int64_t channels) {
  pixel(corners, image, y, channels);
}

template <Pixel Function>
void parallel(const GridSample& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  if (out.elements() == 0) return;
  const int64_t channels = out[3];
  const int64_t image = in.elements(1, 4);
  const int64_t pixels = out[1] * out[2];
  const int64_t grain = std::max<int64_t>(1, (1 << 13) / (channels + 16));
  context.parallel_for(out[0] * pixels, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const float* grid = context.inputs[1].f32() + i * 2;
      Function(Corners(grid[0], grid[1], in[1], in[2], op.align_corners), context.inputs[0].f32() + i / pixels * image,
               context.outputs[0].as<float>() + i * channels, channels);
    }
  });
}

const KernelRegistration<GridSample> reference_row{{.run = reference}};
const KernelRegistration<GridSample> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel<pixel_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void pixel_avx2(const Corners& corners, const float* image, float* y, int64_t channels) {
  pixel(corners, image, y, channels);
}
const KernelRegistration<GridSample> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<pixel_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
