// maxUnpool2d, variants:
//   reference  one input element at a time
//   baseline   checks, clears and scatters over all threads. Blocks of channels of one image are scattered in input
//   order
//              by one thread, so that duplicates need no atomics. The check vectorises, a scatter does not: no avx2 row
#include "ops/max_unpool2d.h"

#include <algorithm>
#include <atomic>

namespace instaseg::cpu {
namespace {

[[noreturn]] void refuse(const KernelContext& context) {
  const Shape& out = context.outputs[0].shape;
  const int64_t plane = out[1] * out[2];
  for (int64_t i = 0; i < context.inputs[1].elements(); ++i) {
    const int64_t index = context.inputs[1].i32()[i];
    require(index >= 0 && index < plane, ErrorCode::argument, MaxUnpool2d::name, ": index ", index, " at element ", i,
            " is outside the output plane of ", out[1], " x ", out[2]);
  }
  fail(ErrorCode::internal, MaxUnpool2d::name, ": indices changed while they were read");
}

void reference(const MaxUnpool2d&, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  const int32_t* indices = context.inputs[1].i32();
  float* y = context.outputs[0].as<float>();
  for (int64_t i = 0; i < in.elements(); ++i) {
    if (indices[i] < 0 || indices[i] >= out[1] * out[2]) refuse(context);
  }
  for (int64_t i = 0; i < out.elements(); ++i) y[i] = 0.0f;
  for (int64_t i = 0; i < in.elements(); ++i) {
    const int64_t n = i / (in[1] * in[2] * in[3]);
    y[(n * out[1] * out[2] + indices[i]) * out[3] + i % in[3]] = context.inputs[0].f32()[i];
  }
}

constexpr int64_t kBlock = 16;

void parallel(const MaxUnpool2d&, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const Shape& out = context.outputs[0].shape;
  const float* x = context.inputs[0].f32();
  const int32_t* indices = context.inputs[1].i32();
  float* y = context.outputs[0].as<float>();
  if (out.elements() == 0) return;

  // As unsigned numbers, negative indices lie above any plane.
  const uint32_t limit = static_cast<uint32_t>(std::min<int64_t>(out[1] * out[2], int64_t{1} << 31));
  std::atomic<bool> outside{false};
  context.parallel_for(in.elements(), 1 << 15, [&](int64_t begin, int64_t end, int) {
    uint32_t bad = 0;
    for (int64_t i = begin; i < end; ++i) bad |= static_cast<uint32_t>(indices[i]) >= limit ? 1u : 0u;
    if (bad) outside.store(true, std::memory_order_relaxed);
  });
  if (outside.load()) refuse(context);

  context.parallel_for(out.elements(), 1 << 15,
                       [&](int64_t begin, int64_t end, int) { std::fill(y + begin, y + end, 0.0f); });
  const int64_t channels = in[3];
  const int64_t blocks = (channels + kBlock - 1) / kBlock;
  const int64_t pixels = in[1] * in[2];
  context.parallel_for(in[0] * blocks, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t n = item / blocks;
      const int64_t first = item % blocks * kBlock;
      const int64_t last = std::min(channels, first + kBlock);
      float* image = y + n * out[1] * out[2] * channels;
      for (int64_t pixel = n * pixels; pixel < (n + 1) * pixels; ++pixel) {
        for (int64_t c = first; c < last; ++c) {
          image[indices[pixel * channels + c] * channels + c] = x[pixel * channels + c];
        }
      }
    }
  });
}

const KernelRegistration<MaxUnpool2d> reference_row{{.run = reference}};
const KernelRegistration<MaxUnpool2d> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel}};

}  // namespace
}  // namespace instaseg::cpu
