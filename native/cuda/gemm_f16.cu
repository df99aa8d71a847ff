// The instances of the matrix product for f16: `mma` (and `mma_sm75`) on tensor cores and `simt`, see gemm.h.
#include "cuda/gemm_instances.h"

namespace instaseg::cuda {

void run_gemm_f16(GemmMath math, GemmTile tile, bool aligned, const GemmProblem& problem,
                  const KernelContext& context) {
  if (math == GemmMath::simt) {
    launch_math<GemmMath::simt, SimtMath<f16>>(tile, aligned, problem, context);
  } else {
    launch_math<GemmMath::mma, MmaMath<f16>>(tile, aligned, problem, context);
  }
}

}  // namespace instaseg::cuda
