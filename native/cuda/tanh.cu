// tanh, variants:
//   simt  16 bytes an access (cuda/elementwise.h), f32, f16 and bf16; tanh of the CUDA library, 2 ulp
#include "ops/tanh.h"

#include "cuda/elementwise.h"
#include "cuda/rows.h"

namespace instaseg::cuda {
namespace {

struct HyperbolicTangent {
  __device__ float operator()(float x) const { return tanhf(x); }
};

void run(const Tanh&, const KernelContext& context) { map_floats(context, HyperbolicTangent{}); }

const KernelRegistrations<Tanh> simt(kFloatTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
