// resize, variants:
//   reference  one output element at a time
//   baseline   output rows over all threads. Bilinear mixes two input rows into a buffer (vectorised whatever the
//              number of channels), then mixes two pixels of that for every output pixel (vectorised over channels), so
//              that enlarging costs one and a half mixes a value and not three. For x86-64 (or the target's baseline)
//   avx2       the same, 8 lanes; the same bits
#include "ops/resize.h"

#include <algorithm>

#include "ops/linear_axis.h"

namespace instaseg::cpu {
namespace {

void reference(const Resize& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  const float step_y = op.step(0, in[1], out[1]);
  const float step_x = op.step(1, in[2], out[2]);
  for (int64_t i = 0; i < out.elements(); ++i) {
    const int64_t c = i % out[3];
    const int64_t ox = i / out[3] % out[2];
    const int64_t oy = i / out[3] / out[2] % out[1];
    const int64_t n = i / out[3] / out[2] / out[1];
    const auto at = [&](int64_t y, int64_t x) {
      return context.inputs[0].f32()[((n * in[1] + y) * in[2] + x) * in[3] + c];
    };
    float& result = context.outputs[0].as<float>()[i];
    if (op.mode != Resize::bilinear) {
      result = at(nearest_pixel(op.nearest_offset(), oy, in[1], step_y),
                  nearest_pixel(op.nearest_offset(), ox, in[2], step_x));
      continue;
    }
    const LinearTap y = linear_tap(oy, in[1], out[1], step_y, op.align_corners);
    const LinearTap x = linear_tap(ox, in[2], out[2], step_x, op.align_corners);
    const float upper = x.first_weight * at(y.first, x.first) + x.second_weight * at(y.first, x.second);
    const float lower = x.first_weight * at(y.second, x.first) + x.second_weight * at(y.second, x.second);
    result = y.first_weight * upper + y.second_weight * lower;
  }
}

INSTASEG_INLINE void mix(float a_weight, const float* __restrict a, float b_weight, const float* __restrict b,
                         float* __restrict y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = a_weight * a[i] + b_weight * b[i];
}

// One output row from two input rows; `buffer` holds one input row.
INSTASEG_INLINE void row(const LinearTap& vertical, const LinearTap* taps, const float* image, int64_t input_row,
                         float* buffer, float* y, int64_t width, int64_t channels) {
  mix(vertical.first_weight, image + vertical.first * input_row, vertical.second_weight,
      image + vertical.second * input_row, buffer, input_row);
  for (int64_t ox = 0; ox < width; ++ox) {
    const LinearTap& tap = taps[ox];
    mix(tap.first_weight, buffer + tap.first * channels, tap.second_weight, buffer + tap.second * channels,
        y + ox * channels, channels);
  }
}
using Row = void (*)(const LinearTap&, const LinearTap*, const float*, int64_t, float*, float*, int64_t, int64_t);
void row_baseline(const LinearTap& vertical, const LinearTap* taps, const float* image, int64_t input_row,
                  float* buffer, float* y, int64_t width, int64_t channels) {
  row(vertical, taps, image, input_row, buffer, y, width, channels);
}

int64_t grain(const Shape& out) { return std::max<int64_t>(1, (1 << 13) / (out[2] * out[3])); }

void nearest(const Resize& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  int32_t* columns = reinterpret_cast<int32_t*>(context.workspace);
  const float step_y = op.step(0, in[1], out[1]);
  const float step_x = op.step(1, in[2], out[2]);
  for (int64_t ox = 0; ox < out[2]; ++ox) {
    columns[ox] = static_cast<int32_t>(nearest_pixel(op.nearest_offset(), ox, in[2], step_x));
  }
  context.parallel_for(out[0] * out[1], grain(out), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t iy = nearest_pixel(op.nearest_offset(), r % out[1], in[1], step_y);
      const float* x = context.inputs[0].f32() + (r / out[1] * in[1] + iy) * in[2] * in[3];
      float* y = context.outputs[0].as<float>() + r * out[2] * out[3];
      for (int64_t ox = 0; ox < out[2]; ++ox) {
        std::copy_n(x + columns[ox] * in[3], in[3], y + ox * in[3]);
      }
    }
  });
}

// The taps of a row are padded to whole cache lines, as are the row buffers of the threads.
size_t rounded(int64_t bytes) { return static_cast<size_t>((bytes + 63) / 64 * 64); }
size_t tap_bytes(const Shape& out) { return rounded(out[2] * static_cast<int64_t>(sizeof(LinearTap))); }
size_t buffer_bytes(const Shape& in) { return rounded(in[2] * in[3] * static_cast<int64_t>(sizeof(float))); }

size_t workspace(const Resize&, const Specs& inputs, const Specs& outputs, int threads) {
  return tap_bytes(outputs[0].shape) + buffer_bytes(inputs[0].shape) * static_cast<size_t>(threads);
}

template <Row Function>
void parallel(const Resize& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  if (out.elements() == 0) return;
  if (op.mode != Resize::bilinear) return nearest(op, context);
  LinearTap* taps = reinterpret_cast<LinearTap*>(context.workspace);
  const float step_y = op.step(0, in[1], out[1]);
  const float step_x = op.step(1, in[2], out[2]);
  for (int64_t ox = 0; ox < out[2]; ++ox) taps[ox] = linear_tap(ox, in[2], out[2], step_x, op.align_corners);
  const int64_t input_row = in[2] * in[3];
  context.parallel_for(out[0] * out[1], grain(out), [&](int64_t begin, int64_t end, int thread) {
    float* buffer =
        reinterpret_cast<float*>(context.workspace + tap_bytes(out) + buffer_bytes(in) * static_cast<size_t>(thread));
    for (int64_t r = begin; r < end; ++r) {
      Function(linear_tap(r % out[1], in[1], out[1], step_y, op.align_corners), taps,
               context.inputs[0].f32() + r / out[1] * in[1] * input_row, input_row, buffer,
               context.outputs[0].as<float>() + r * out[2] * out[3], out[2], out[3]);
    }
  });
}

const KernelRegistration<Resize> reference_row{{.run = reference}};
const KernelRegistration<Resize> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = parallel<row_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void row_avx2(const LinearTap& vertical, const LinearTap* taps, const float* image, int64_t input_row,
                            float* buffer, float* y, int64_t width, int64_t channels) {
  row(vertical, taps, image, input_row, buffer, y, width, channels);
}
const KernelRegistration<Resize> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .workspace = workspace, .run = parallel<row_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
