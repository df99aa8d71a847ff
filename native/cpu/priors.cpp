// priors, variants:
//   reference  three nested loops
//   baseline   rows of the grid over all threads
#include "ops/priors.h"

namespace instaseg::cpu {
namespace {

float centre(int64_t i, int64_t cells) {
  return static_cast<float>((static_cast<double>(i) + 0.5) / static_cast<double>(cells));
}

void rows(const Priors& op, float* y, int64_t begin, int64_t end) {
  const int64_t count = op.priors();
  for (int64_t row = begin; row < end; ++row) {
    const float cy = centre(row, op.grid.y);
    float* out = y + row * op.grid.x * count * 4;
    for (int64_t column = 0; column < op.grid.x; ++column) {
      const float cx = centre(column, op.grid.x);
      for (int64_t prior = 0; prior < count; ++prior, out += 4) {
        out[0] = cx;
        out[1] = cy;
        out[2] = op.sides[static_cast<size_t>(prior) * 2];
        out[3] = op.sides[static_cast<size_t>(prior) * 2 + 1];
      }
    }
  }
}

void reference(const Priors& op, const KernelContext& context) {
  rows(op, context.outputs[0].as<float>(), 0, op.grid.y);
}

void baseline(const Priors& op, const KernelContext& context) {
  float* y = context.outputs[0].as<float>();
  const int64_t grain = 8192 / std::max<int64_t>(1, op.grid.x * op.priors()) + 1;
  context.parallel_for(op.grid.y, grain, [&](int64_t begin, int64_t end, int) { rows(op, y, begin, end); });
}

const KernelRegistration<Priors> reference_row{{.run = reference}};
const KernelRegistration<Priors> baseline_row{{.variant = "baseline", .rank = 10, .run = baseline}};

}  // namespace
}  // namespace instaseg::cpu
