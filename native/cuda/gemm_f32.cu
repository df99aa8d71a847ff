// The instances of the matrix product for f32: `tf32x3` and `tf32` on tensor cores and `simt`, see gemm.h.
#include "cuda/gemm_instances.h"

namespace instaseg::cuda {

void run_gemm_f32(GemmMath math, GemmTile tile, bool aligned, const GemmProblem& problem,
                  const KernelContext& context) {
  if (math == GemmMath::tf32x3) {
    launch_math<GemmMath::tf32x3, Tf32x3Math>(tile, aligned, problem, context);
  } else if (math == GemmMath::tf32) {
    launch_math<GemmMath::tf32, Tf32Math>(tile, aligned, problem, context);
  } else {
    launch_math<GemmMath::simt, SimtMath<float>>(tile, aligned, problem, context);
  }
}

}  // namespace instaseg::cuda
