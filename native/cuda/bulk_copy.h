// Bulk copies from global into shared memory by the tensor memory accelerator (TMA) of sm_90 and newer: one thread asks
// for thousands of bytes, and a barrier in shared memory (mbarrier) completes when they are there. Only code for sm_90a
// uses it, beside wgmma (wgmma.h); the emulator has none.
#pragma once

#include "cuda/wgmma.h"

namespace instaseg::cuda {

#if INSTASEG_WGMMA

/// A barrier in shared memory for one copy after the other; its phases have parities 0, 1, 0, ...
using CopyBarrier = uint64_t;

/// By one thread, before fence_copy_barriers() and a block barrier.
__device__ __forceinline__ void init_copy_barrier(CopyBarrier* barrier) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" : : "r"(detail::shared_address(barrier)) : "memory");
}
__device__ __forceinline__ void fence_copy_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" : : : "memory");
}

/// By one thread: begins to copy `bytes`, a multiple of 16 between addresses aligned to 16, and the barrier's next
/// phase.
__device__ __forceinline__ void bulk_copy(void* shared, const void* global, int bytes, CopyBarrier* barrier) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
               :
               : "r"(detail::shared_address(barrier)), "r"(bytes)
               : "memory");
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
               :
               : "r"(detail::shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(bytes),
                 "r"(detail::shared_address(barrier))
               : "memory");
}

/// Waits for the phase of that parity; the bytes are there then, for wgmma too.
__device__ __forceinline__ void wait_for_copy(CopyBarrier* barrier, uint32_t parity) {
  uint32_t complete = 0;
  while (complete == 0) {
    asm volatile(
        "{\n"
        "  .reg .pred p;\n"
        "  mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "  selp.u32 %0, 1, 0, p;\n"
        "}"
        : "=r"(complete)
        : "r"(detail::shared_address(barrier)), "r"(parity)
        : "memory");
  }
}

#endif  // INSTASEG_WGMMA

}  // namespace instaseg::cuda
