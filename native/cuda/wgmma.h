// The warpgroup products of sm_90a: wgmma.mma_async, both operands in shared memory, sums in registers. Only code for
// sm_90a has them (INSTASEG_WGMMA is 1); the emulator has none.
//
// Operands are tiles [rows][64 bytes of k] with the chunks exchanged as tile_offset does, which is the layout that the
// PTX ISA calls K-major with 64-byte swizzling ("Asynchronous warpgroup level matrix shared memory layout"): bits 4 and
// 5 of an address are exchanged by bits 7 and 8. Tiles start at multiples of 512 bytes.
//
// A warpgroup is four warps; warp w holds rows 16w to 16w + 15 of a product of 64 rows, in the fragments of
// mma.m16n8 side by side.
#pragma once

#include "cuda/mma.h"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define INSTASEG_WGMMA 1
#else
#define INSTASEG_WGMMA 0
#endif

namespace instaseg::cuda {

#if INSTASEG_WGMMA

/// Describes a tile, from `shared` on, to wgmma: 512 bytes from eight rows to the next eight, 64-byte swizzling.
__device__ __forceinline__ uint64_t tile_descriptor(const void* shared) {
  const auto address = static_cast<uint64_t>(__cvta_generic_to_shared(shared));
  constexpr uint64_t kEightRows = 512 >> 4;
  constexpr uint64_t kSwizzle64 = 2;
  return (address & 0x3ffff) >> 4 | uint64_t{1} << 16 | kEightRows << 32 | kSwizzle64 << 62;
}

/// Before the first product, and after registers of its sums were written otherwise.
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" : : : "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory"); }
/// Waits until at most `Pending` groups are under way.
template <int Pending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(Pending) : "memory");
}
/// Makes what this thread wrote to shared memory, cp.async included, visible to wgmma.
__device__ __forceinline__ void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" : : : "memory"); }

// Sixteen products of eight columns, four sums each.
#define INSTASEG_SUMS_8(d, n) "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3])
#define INSTASEG_SUMS_32(d, n) \
  INSTASEG_SUMS_8(d, n), INSTASEG_SUMS_8(d, n + 1), INSTASEG_SUMS_8(d, n + 2), INSTASEG_SUMS_8(d, n + 3)
#define INSTASEG_WGMMA_128(type)                                                                                       \
  asm volatile(                                                                                                        \
      "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type                                                     \
      " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, "    \
      "%23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, " \
      "%45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, %64, %65, 1, "  \
      "1, 1, 0, 0;"                                                                                                    \
      : INSTASEG_SUMS_32(d, 0), INSTASEG_SUMS_32(d, 4), INSTASEG_SUMS_32(d, 8), INSTASEG_SUMS_32(d, 12)                \
      : "l"(a), "l"(b))

/// d (64 x 128) += a (64 x 16) * b (128 x 16, transposed), asynchronously; `d` is the thread's part of 16 products of
/// eight columns.
__device__ __forceinline__ void wgmma_m64n128k16(float (*d)[4], uint64_t a, uint64_t b, f16) {
  INSTASEG_WGMMA_128("f16");
}
__device__ __forceinline__ void wgmma_m64n128k16(float (*d)[4], uint64_t a, uint64_t b, bf16) {
  INSTASEG_WGMMA_128("bf16");
}

#undef INSTASEG_WGMMA_128
#undef INSTASEG_SUMS_32
#undef INSTASEG_SUMS_8

#endif  // INSTASEG_WGMMA

}  // namespace instaseg::cuda
