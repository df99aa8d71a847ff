// multiply, variants:
//   simt  16 bytes an access (cuda/elementwise.h), f32, f16 and bf16
#include "ops/multiply.h"

#include "cuda/elementwise.h"
#include "cuda/rows.h"

namespace instaseg::cuda {
namespace {

struct Product {
  __device__ float operator()(float a, float b) const { return a * b; }
};

void run(const Multiply&, const KernelContext& context) { map_float_pairs(context, Product{}); }

const KernelRegistrations<Multiply> simt(kFloatTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
