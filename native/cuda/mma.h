// Tensor cores and what feeds them: asynchronous copies into shared memory, ldmatrix, mma.sync. Under nvcc each
// function is one PTX instruction (two where sm_75 has only the smaller shape); in emulated builds the emulator's
// equivalent with the same fragment layouts. All lanes of the warp call mma and ldmatrix together.
//
// Fragments of d(16x8) += a(16xK) * b(Kx8), from "Matrix fragments for mma.m16n8k16 / m16n8k8" of the PTX manual, with
// g = lane / 4 and t = lane % 4; one register holds two 16-bit elements, the one with the lower index in its low half:
//
//   d, f32     d[0] (g, 2t)   d[1] (g, 2t+1)   d[2] (g+8, 2t)   d[3] (g+8, 2t+1)
//   a, 16-bit  a[0] (g, 2t..2t+1)   a[1] (g+8, 2t..)   a[2] (g, 2t+8..)   a[3] (g+8, 2t+8..)
//   b, 16-bit  b[0] (2t..2t+1, g)   b[1] (2t+8..2t+9, g)
//   a, tf32    a[0] (g, t)   a[1] (g+8, t)   a[2] (g, t+4)   a[3] (g+8, t+4)
//   b, tf32    b[0] (t, g)   b[1] (t+4, g)
//
// ldmatrix reads 8x8 matrices of 16-bit elements, one row of 16 bytes an address: lanes 0-7 give the rows of the first
// matrix, 8-15 of the second and so on. Lane l receives elements (l/4, 2(l%4)) and (l/4, 2(l%4)+1) of matrix i in r[i];
// the transposed form (2(l%4), l/4) and (2(l%4)+1, l/4). So a row-major 16x16 tile of `a` comes with ldmatrix_x4, the
// address of lane l being row l % 16, column 8 * (l / 16); a `b` stored as K rows of N comes with the transposed form,
// one stored as N rows of K with the plain one.
#pragma once

#include <cstdint>

#include "cuda/numeric.h"
#include "cuda/platform.h"

#ifdef INSTASEG_CUDA_EMULATED
#include "cuda/emulation/mma.h"
#endif

namespace instaseg::cuda {

#ifndef INSTASEG_CUDA_EMULATED

namespace detail {
__device__ __forceinline__ uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}
}  // namespace detail

/// Copies 16 bytes, both addresses aligned to 16, past the L1 cache; zeros where `valid` is false, and then `global` is
/// not read. The bytes are there after a wait of this thread and, for other threads, a barrier.
__device__ __forceinline__ void cp_async16(void* shared, const void* global, bool valid) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(detail::shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(bytes)
               : "memory");
#else
  *static_cast<uint4*>(shared) = valid ? *static_cast<const uint4*>(global) : uint4{0, 0, 0, 0};
#endif
}

/// Closes the group of the copies issued so far.
__device__ __forceinline__ void cp_async_commit() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" : : : "memory");
#endif
}

/// Waits until at most `Pending` of this thread's latest groups are under way.
template <int Pending>
__device__ __forceinline__ void cp_async_wait() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" : : "n"(Pending) : "memory");
#endif
}

__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}
/// The addresses of lanes 16-31 are not read but must be valid ones.
__device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}

/// d += a * b with f16 inputs and f32 accumulation; K = 8: a[0..1] and b as in K = 16 without the upper half.
__device__ __forceinline__ void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[2], uint32_t b, f16) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(b));
}

__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], f16 tag) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  (void)tag;
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  mma_m16n8k8(d, {a[0], a[1]}, b[0], tag);
  mma_m16n8k8(d, {a[2], a[3]}, b[1], tag);
#endif
}

/// Compute capability 8.0 and higher; below, the kernel must not be launched.
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], bf16) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

/// Compute capability 8.0 and higher. The inputs are f32 bits of which 10 fraction bits count.
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

/// To nearest with ties away from zero; the low 13 bits of the result are zero.
__device__ __forceinline__ uint32_t to_tf32(float x) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  uint32_t result;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(x));
  return result;
#else
  return (__float_as_uint(x) + 0x1000u) & 0xffffe000u;
#endif
}

#endif

}  // namespace instaseg::cuda
