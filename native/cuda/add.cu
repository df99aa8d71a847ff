// add, variants:
//   simt  16 bytes an access (cuda/elementwise.h), f32, f16 and bf16
#include "ops/add.h"

#include "cuda/elementwise.h"
#include "cuda/rows.h"

namespace instaseg::cuda {
namespace {

struct Sum {
  bool relu;
  __device__ float operator()(float a, float b) const {
    const float sum = a + b;
    return relu && sum < 0.0f ? 0.0f : sum;  // NaN passes through
  }
};

void run(const Add& op, const KernelContext& context) { map_float_pairs(context, Sum{op.relu}); }

const KernelRegistrations<Add> simt(kFloatTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
