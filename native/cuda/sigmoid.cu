// sigmoid, variants:
//   simt  16 bytes an access (cuda/elementwise.h), f32, f16 and bf16; exp of the CUDA library, 2 ulp
#include "ops/sigmoid.h"

#include "cuda/elementwise.h"
#include "cuda/rows.h"

namespace instaseg::cuda {
namespace {

struct Logistic {
  __device__ float operator()(float x) const { return 1.0f / (1.0f + expf(-x)); }
};

void run(const Sigmoid&, const KernelContext& context) { map_floats(context, Logistic{}); }

const KernelRegistrations<Sigmoid> simt(kFloatTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
