// relu, variants:
//   simt  16 bytes an access (cuda/elementwise.h), f32, f16 and bf16
#include "ops/relu.h"

#include "cuda/elementwise.h"
#include "cuda/rows.h"

namespace instaseg::cuda {
namespace {

// Written so that NaN passes through, and that slope 0 gives 0 for -infinity too.
struct Activate {
  float slope;
  __device__ float operator()(float x) const {
    const float negative = slope == 0.0f ? 0.0f : x * slope;
    return x < 0.0f ? negative : x;
  }
};

void run(const Relu& op, const KernelContext& context) { map_floats(context, Activate{op.negative_slope}); }

const KernelRegistrations<Relu> simt(kFloatTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
