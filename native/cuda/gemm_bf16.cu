// The instances of the matrix product for bf16: `mma` on tensor cores and `simt`, see gemm.h.
#include "cuda/gemm_instances.h"

namespace instaseg::cuda {

void run_gemm_bf16(GemmMath math, GemmTile tile, bool aligned, const GemmProblem& problem,
                   const KernelContext& context) {
  if (math == GemmMath::mma) {
    launch_math<GemmMath::mma, MmaMath<bf16>>(tile, aligned, problem, context);
  } else {
    launch_math<GemmMath::simt, SimtMath<bf16>>(tile, aligned, problem, context);
  }
}

}  // namespace instaseg::cuda
