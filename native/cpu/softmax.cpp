// softmax, variants:
//   reference  one element of the other axes at a time, the C library's exp, sum in double
//   baseline   own exp (cpu/exp.h) over all threads, vectorised for x86-64 (or the target's baseline): along the axis
//              where it is the last one (sums in 8 fixed lanes), across its neighbours where it is not
//   avx2       the same, 8 lanes; the same bits
#include "ops/softmax.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cpu/exp.h"
#include "cpu/rows.h"

namespace instaseg::cpu {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// The input as [row of axis 0][middle][axis][inner]; with axis 0 itself there is one row.
struct Layout {
  Layout(const Softmax& op, const Shape& shape) {
    const int at = op.resolved_axis(shape);
    rows = at > 0 ? shape[0] : 1;
    middle = at > 0 ? shape.elements(1, at) : 1;
    axis = shape[at];
    inner = shape.elements(at + 1, shape.rank());
  }
  int64_t rows, middle, axis, inner;
};

void reference(const Softmax& op, const KernelContext& context) {
  const Layout layout(op, context.inputs[0].shape);
  const ValidRows valid(layout.rows, context.inputs[1]);
  const int64_t stride = layout.inner;
  for (int64_t i = 0; i < valid.total(); ++i) {
    for (int64_t m = 0; m < layout.middle; ++m) {
      for (int64_t c = 0; c < layout.inner; ++c) {
        const int64_t offset = (valid.row(i) * layout.middle + m) * layout.axis * layout.inner + c;
        const float* x = context.inputs[0].f32() + offset;
        float* y = context.outputs[0].as<float>() + offset;
        float highest = kLowest;
        for (int64_t k = 0; k < layout.axis; ++k) highest = x[k * stride] > highest ? x[k * stride] : highest;
        double sum = 0;
        for (int64_t k = 0; k < layout.axis; ++k) sum += y[k * stride] = std::exp(x[k * stride] - highest);
        for (int64_t k = 0; k < layout.axis; ++k) y[k * stride] = static_cast<float>(y[k * stride] / sum);
      }
    }
  }
}

// A NaN never becomes the highest value, but makes the sum, and so the whole row, NaN.
INSTASEG_INLINE void along(const float* __restrict x, float* __restrict y, int64_t count) {
  typedef float Lanes __attribute__((vector_size(32)));
  constexpr int64_t kLanes = 8;
  const int64_t whole = count - count % kLanes;
  Lanes part;
  Lanes highest = Lanes{} + kLowest;
  for (int64_t i = 0; i < whole; i += kLanes) {
    std::memcpy(&part, x + i, sizeof(part));
    highest = part > highest ? part : highest;
  }
  float top = kLowest;
  for (int lane = 0; lane < kLanes; ++lane) top = highest[lane] > top ? highest[lane] : top;
  for (int64_t i = whole; i < count; ++i) top = x[i] > top ? x[i] : top;

  for (int64_t i = 0; i < count; ++i) y[i] = vector_exp(x[i] - top);

  Lanes sum{};
  for (int64_t i = 0; i < whole; i += kLanes) {
    std::memcpy(&part, y + i, sizeof(part));
    sum += part;
  }
  for (int64_t i = whole; i < count; ++i) sum[i - whole] += y[i];
  const float total = ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
  for (int64_t i = 0; i < count; ++i) y[i] = y[i] / total;
}

constexpr int64_t kBlock = 256;

// `width` <= kBlock neighbours, each with its own softmax over `axis` values that lie `stride` apart.
INSTASEG_INLINE void across(const float* __restrict x, float* __restrict y, int64_t axis, int64_t stride,
                            int64_t width) {
  float highest[kBlock];
  float sum[kBlock];
  for (int64_t c = 0; c < width; ++c) {
    highest[c] = kLowest;
    sum[c] = 0.0f;
  }
  for (int64_t k = 0; k < axis; ++k) {
    const float* from = x + k * stride;
    for (int64_t c = 0; c < width; ++c) highest[c] = from[c] > highest[c] ? from[c] : highest[c];
  }
  for (int64_t k = 0; k < axis; ++k) {
    const float* from = x + k * stride;
    float* to = y + k * stride;
    for (int64_t c = 0; c < width; ++c) {
      to[c] = vector_exp(from[c] - highest[c]);
      sum[c] += to[c];
    }
  }
  for (int64_t k = 0; k < axis; ++k) {
    float* to = y + k * stride;
    for (int64_t c = 0; c < width; ++c) to[c] = to[c] / sum[c];
  }
}

// One block of one [axis][inner] slice.
INSTASEG_INLINE void block(const Layout& layout, const float* x, float* y, int64_t index) {
  const int64_t first = index * kBlock;
  if (layout.inner == 1) {
    along(x, y, layout.axis);
  } else {
    across(x + first, y + first, layout.axis, layout.inner, std::min(kBlock, layout.inner - first));
  }
}
void block_baseline(const Layout& layout, const float* x, float* y, int64_t index) { block(layout, x, y, index); }

template <void (*Block)(const Layout&, const float*, float*, int64_t)>
void parallel(const Softmax& op, const KernelContext& context) {
  const Layout layout(op, context.inputs[0].shape);
  const int64_t slice = layout.axis * layout.inner;
  if (slice == 0 || layout.middle == 0) return;
  const ValidRows valid(layout.rows, context.inputs[1]);
  const int64_t blocks = (layout.inner + kBlock - 1) / kBlock;
  const int64_t grain = std::max<int64_t>(1, (1 << 13) * blocks / slice);
  context.parallel_for(valid.total() * layout.middle * blocks, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t at = item / blocks;
      const int64_t offset = (valid.row(at / layout.middle) * layout.middle + at % layout.middle) * slice;
      Block(layout, context.inputs[0].f32() + offset, context.outputs[0].as<float>() + offset, item % blocks);
    }
  });
}

const KernelRegistration<Softmax> reference_row{{.run = reference}};
const KernelRegistration<Softmax> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel<block_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void block_avx2(const Layout& layout, const float* x, float* y, int64_t index) {
  block(layout, x, y, index);
}
const KernelRegistration<Softmax> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<block_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
