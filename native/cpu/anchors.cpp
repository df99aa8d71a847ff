// anchors, variants:
//   reference  four nested loops
//   baseline   rows of the grid over all threads
#include "ops/anchors.h"

namespace instaseg::cpu {
namespace {

void rows(const Anchors& op, float* y, int64_t begin, int64_t end) {
  const int64_t count = op.anchors();
  const float* base = op.base.data();
  for (int64_t row = begin; row < end; ++row) {
    const float shift_y = static_cast<float>(static_cast<double>(row * op.stride.y) + op.offset);
    float* out = y + row * op.grid.x * count * 4;
    for (int64_t column = 0; column < op.grid.x; ++column) {
      const float shift_x = static_cast<float>(static_cast<double>(column * op.stride.x) + op.offset);
      const float shift[4] = {shift_x, shift_y, shift_x, shift_y};
      for (int64_t anchor = 0; anchor < count; ++anchor, out += 4) {
        for (int i = 0; i < 4; ++i) out[i] = shift[i] + base[anchor * 4 + i];
      }
    }
  }
}

void reference(const Anchors& op, const KernelContext& context) {
  rows(op, context.outputs[0].as<float>(), 0, op.grid.y);
}

void baseline(const Anchors& op, const KernelContext& context) {
  float* y = context.outputs[0].as<float>();
  const int64_t grain = 8192 / std::max<int64_t>(1, op.grid.x * op.anchors()) + 1;
  context.parallel_for(op.grid.y, grain, [&](int64_t begin, int64_t end, int) { rows(op, y, begin, end); });
}

const KernelRegistration<Anchors> reference_row{{.run = reference}};
const KernelRegistration<Anchors> baseline_row{{.variant = "baseline", .rank = 10, .run = baseline}};

}  // namespace
}  // namespace instaseg::cpu
