// The emulated side of cuda/mma.h. Products are exact in f32 (tf32 inputs are truncated to 10 fraction bits, as
// hardware does); their sums are a chain of f32 additions in the order of k. Hardware aligns and truncates in an order
// of its own: sums of small integers are equal bit for bit, others to about one unit in the last place of the largest
// term.
#pragma once

#include <cstdint>

#include "cuda/emulation/engine.h"
#include "cuda/numeric.h"

namespace instaseg::cuda {

namespace emulation {
struct MmaOperands {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};
struct LdmatrixOperands {
  uint32_t* registers;
  const void* row;
};
extern const WarpOperation mma_k16_f16, mma_k16_bf16, mma_k8_f16, mma_k8_tf32;
extern const WarpOperation ldmatrix_2, ldmatrix_4, ldmatrix_2_trans, ldmatrix_4_trans;

__forceinline__ void multiply_tiles(const WarpOperation& operation, float* d, const uint32_t* a, const uint32_t* b,
                                    Site site) {
  MmaOperands operands{d, a, b};
  warp_collective(operation, 0xffffffffu, &operands, site);
}
/// Touches what an asynchronous copy will, so that the sanitizer sees a bad address in the line that issues it. Until
/// the copy lands, its target holds what nobody may rely on.
__forceinline__ void touch_async(void* shared, const void* global, bool valid, Site site) {
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 || (valid && reinterpret_cast<uintptr_t>(global) % 16 != 0)) {
    fail_kernel("cp.async in %s:%d from %p to %p: both must be aligned to 16 bytes", site.file, site.line, global,
                shared);
  }
  if (valid) {
    for (int i = 0; i < 2; ++i) static_cast<void>(static_cast<const volatile uint64_t*>(global)[i]);
  }
  require_shared(shared, 16, 16, "cp.async's target");
  for (int i = 0; i < 2; ++i) static_cast<volatile uint64_t*>(shared)[i] = ~uint64_t{0};
}
__forceinline__ void load_matrices(const WarpOperation& operation, int rows, uint32_t* registers, const void* row,
                                   Site site) {
  // Each lane reads the row that it names, for the sanitizers; the matrices are put together when all lanes have come.
  if (static_cast<int>(lane_index()) < rows) {
    require_shared(row, 16, 16, operation.name);
    for (int i = 0; i < 2; ++i) static_cast<void>(static_cast<const volatile uint64_t*>(row)[i]);
  }
  LdmatrixOperands operands{registers, row};
  warp_collective(operation, 0xffffffffu, &operands, site);
}
}  // namespace emulation

#define INSTASEG_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

__forceinline__ void cp_async16(void* shared, const void* global, bool valid, INSTASEG_HERE) {
  emulation::touch_async(shared, global, valid, {file, line});
  emulation::async_copy(shared, global, valid);
}
inline void cp_async_commit() { emulation::async_commit(); }
template <int Pending>
void cp_async_wait() {
  emulation::async_wait(Pending);
}

__forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* shared_row, INSTASEG_HERE) {
  emulation::load_matrices(emulation::ldmatrix_4, 32, r, shared_row, {file, line});
}
__forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* shared_row, INSTASEG_HERE) {
  emulation::load_matrices(emulation::ldmatrix_4_trans, 32, r, shared_row, {file, line});
}
__forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void* shared_row, INSTASEG_HERE) {
  emulation::load_matrices(emulation::ldmatrix_2, 16, r, shared_row, {file, line});
}
__forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void* shared_row, INSTASEG_HERE) {
  emulation::load_matrices(emulation::ldmatrix_2_trans, 16, r, shared_row, {file, line});
}

inline void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[2], uint32_t b, f16, INSTASEG_HERE) {
  emulation::multiply_tiles(emulation::mma_k8_f16, d, a, &b, {file, line});
}
inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], f16, INSTASEG_HERE) {
  emulation::multiply_tiles(emulation::mma_k16_f16, d, a, b, {file, line});
}
inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], bf16, INSTASEG_HERE) {
  emulation::multiply_tiles(emulation::mma_k16_bf16, d, a, b, {file, line});
}
inline void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], INSTASEG_HERE) {
  emulation::multiply_tiles(emulation::mma_k8_tf32, d, a, b, {file, line});
}

#undef INSTASEG_HERE

inline uint32_t to_tf32(float x) {
  const uint32_t bits = bits_of(x);
  // NaN and infinity have no fraction to round.
  return ((bits & 0x7f800000u) == 0x7f800000u ? bits : bits + 0x1000u) & 0xffffe000u;
}

}  // namespace instaseg::cuda
