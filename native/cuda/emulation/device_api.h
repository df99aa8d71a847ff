// The emulator's side of cuda/platform.h: CUDA's device language for the host compiler. A thread of a block is a fiber
// (engine.h); what follows is what kernels may call. Semantics are those of the CUDA programming guide where it defines
// them; where it says "undefined", the emulator stops the kernel with an error that names block, thread and line.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/emulation/vector_types.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

#define threadIdx (::instaseg::cuda::emulation::current_thread->index)
#define blockIdx (::instaseg::cuda::emulation::current_thread->block->index)
#define blockDim (::instaseg::cuda::emulation::current_thread->block->block_dim)
#define gridDim (::instaseg::cuda::emulation::current_thread->block->grid_dim)

inline constexpr int warpSize = 32;

namespace instaseg::cuda::emulation {

/// A line of device code, for messages.
struct Site {
  const char* file;
  int line;
};

struct BlockIndices {
  uint3 index{};
  dim3 block_dim;
  dim3 grid_dim;
};

struct ThreadIndices {
  uint3 index{};
  const BlockIndices* block = nullptr;
};

/// The thread whose fiber runs; null outside kernels.
extern thread_local ThreadIndices* current_thread __attribute__((tls_model("initial-exec")));

/// Ends the kernel: the launch throws an error with this message. Does not return.
[[noreturn]] void fail_kernel(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// Ends the kernel where an address is not a multiple of `bytes`, as a vector access needs.
inline void require_aligned(const void* address, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0) {
    fail_kernel("access of %zu bytes at %p, which is not aligned to them", bytes, address);
  }
}

// Shared memory -------------------------------------------------------------------------------------------------------

/// The array that belongs to a declaration: made, poisoned around and filled with garbage by the block's first thread
/// that comes here.
void* shared_array_bytes(const void* declaration, const char* name, size_t bytes);
void* dynamic_shared_bytes();

template <class T>
T* shared_array(const void* declaration, const char* name, size_t count) {
  static_assert(std::is_trivially_copyable_v<T>, "shared memory has no constructors");
  static_assert(alignof(T) <= 128);
  return static_cast<T*>(shared_array_bytes(declaration, name, sizeof(T) * count));
}

template <class T>
T* dynamic_shared_array() {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 128);
  return static_cast<T*>(dynamic_shared_bytes());
}

// Barriers ------------------------------------------------------------------------------------------------------------

enum class BarrierKind : uint8_t { sync, any, all, count };
/// Waits for every thread of the block; all of them must come to the same line.
int block_barrier(BarrierKind kind, bool predicate, Site site);

// Warp collectives ----------------------------------------------------------------------------------------------------

/// What the lanes of one collective have brought: a pointer a lane to its operands, null for lanes outside the mask.
struct WarpCall {
  void* lane[32];
  uint32_t mask;
};

/// One collective operation. Its address is its identity: all lanes of a mask must call the same one.
struct WarpOperation {
  const char* name;
  /// Runs once, in the last lane to arrive.
  void (*complete)(const WarpCall& call);
};

/// Waits for every lane of the mask, which must include the calling one.
void warp_collective(const WarpOperation& operation, uint32_t mask, void* operands, Site site);

struct ShuffleOperands {
  uint64_t value;
  uint32_t selector;  ///< source lane, delta or lane mask
  int width;
};
/// `__shfl_*_sync`: leaves the value read in `value`.
extern const WarpOperation shuffle_index, shuffle_up, shuffle_down, shuffle_xor;

template <class T>
T shuffle(const WarpOperation& operation, uint32_t mask, T value, uint32_t selector, int width, Site site) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "shuffles move 32 or 64 bits");
  ShuffleOperands operands{0, selector, width};
  std::memcpy(&operands.value, &value, sizeof(T));
  warp_collective(operation, mask, &operands, site);
  std::memcpy(&value, &operands.value, sizeof(T));
  return value;
}

uint32_t ballot(uint32_t mask, bool predicate, Site site);
void sync_warp(uint32_t mask, Site site);

}  // namespace instaseg::cuda::emulation

#define INSTASEG_SITE \
  ::instaseg::cuda::emulation::Site { file, line }
#define INSTASEG_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(INSTASEG_HERE) {
  using namespace instaseg::cuda::emulation;
  block_barrier(BarrierKind::sync, false, INSTASEG_SITE);
}
inline int __syncthreads_or(int predicate, INSTASEG_HERE) {
  using namespace instaseg::cuda::emulation;
  return block_barrier(BarrierKind::any, predicate != 0, INSTASEG_SITE);
}
inline int __syncthreads_and(int predicate, INSTASEG_HERE) {
  using namespace instaseg::cuda::emulation;
  return block_barrier(BarrierKind::all, predicate != 0, INSTASEG_SITE);
}
inline int __syncthreads_count(int predicate, INSTASEG_HERE) {
  using namespace instaseg::cuda::emulation;
  return block_barrier(BarrierKind::count, predicate != 0, INSTASEG_SITE);
}

inline void __syncwarp(uint32_t mask = 0xffffffffu, INSTASEG_HERE) {
  instaseg::cuda::emulation::sync_warp(mask, INSTASEG_SITE);
}
template <class T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32, INSTASEG_HERE) {
  using namespace instaseg::cuda::emulation;
  return shuffle(shuffle_index, mask, value, static_cast<uint32_t>(source), width, INSTASEG_SITE);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32, INSTASEG_HERE) {
  using namespace instaseg::cuda::emulation;
  return shuffle(shuffle_up, mask, value, delta, width, INSTASEG_SITE);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32, INSTASEG_HERE) {
  using namespace instaseg::cuda::emulation;
  return shuffle(shuffle_down, mask, value, delta, width, INSTASEG_SITE);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = 32, INSTASEG_HERE) {
  using namespace instaseg::cuda::emulation;
  return shuffle(shuffle_xor, mask, value, static_cast<uint32_t>(lane_mask), width, INSTASEG_SITE);
}
inline uint32_t __ballot_sync(uint32_t mask, int predicate, INSTASEG_HERE) {
  return instaseg::cuda::emulation::ballot(mask, predicate != 0, INSTASEG_SITE);
}
inline int __any_sync(uint32_t mask, int predicate, INSTASEG_HERE) {
  return instaseg::cuda::emulation::ballot(mask, predicate != 0, INSTASEG_SITE) != 0;
}
inline int __all_sync(uint32_t mask, int predicate, INSTASEG_HERE) {
  return instaseg::cuda::emulation::ballot(mask, predicate != 0, INSTASEG_SITE) == mask;
}

// Atomics: fibers give way only where they wait, so a plain read and write is one.
namespace instaseg::cuda::emulation {
template <class T>
concept AtomicInteger = std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long>;

#ifdef INSTASEG_EMULATION_RACES
// Not by the compiler's reports: an atomic is one access, which races with others only.
void note_atomic(const void* address, size_t bytes);
#define INSTASEG_UNREPORTED __attribute__((no_sanitize("thread"), noinline))
#else
inline void note_atomic(const void*, size_t) {}
#define INSTASEG_UNREPORTED
#endif

template <AtomicInteger T, class Update>
INSTASEG_UNREPORTED T atomic_update(T* address, const Update& update) {
  note_atomic(address, sizeof(T));
  const T old = *address;
  *address = update(old);
  return old;
}
#undef INSTASEG_UNREPORTED
}  // namespace instaseg::cuda::emulation

template <instaseg::cuda::emulation::AtomicInteger T>
__forceinline__ T atomicAdd(T* address, std::type_identity_t<T> value) {
  using U = std::make_unsigned_t<T>;
  return instaseg::cuda::emulation::atomic_update(
      address, [&](T old) { return static_cast<T>(static_cast<U>(old) + static_cast<U>(value)); });
}
template <instaseg::cuda::emulation::AtomicInteger T>
__forceinline__ T atomicMax(T* address, std::type_identity_t<T> value) {
  return instaseg::cuda::emulation::atomic_update(address, [&](T old) { return old < value ? value : old; });
}
template <instaseg::cuda::emulation::AtomicInteger T>
__forceinline__ T atomicMin(T* address, std::type_identity_t<T> value) {
  return instaseg::cuda::emulation::atomic_update(address, [&](T old) { return value < old ? value : old; });
}
template <instaseg::cuda::emulation::AtomicInteger T>
__forceinline__ T atomicOr(T* address, std::type_identity_t<T> value) {
  return instaseg::cuda::emulation::atomic_update(address, [&](T old) { return old | value; });
}
template <instaseg::cuda::emulation::AtomicInteger T>
__forceinline__ T atomicAnd(T* address, std::type_identity_t<T> value) {
  return instaseg::cuda::emulation::atomic_update(address, [&](T old) { return old & value; });
}
template <instaseg::cuda::emulation::AtomicInteger T>
__forceinline__ T atomicExch(T* address, std::type_identity_t<T> value) {
  return instaseg::cuda::emulation::atomic_update(address, [&](T) { return value; });
}
template <instaseg::cuda::emulation::AtomicInteger T>
__forceinline__ T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  return instaseg::cuda::emulation::atomic_update(address, [&](T old) { return old == compare ? value : old; });
}

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
/// 1 + the position of the lowest set bit; 0 for 0.
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (x >> bit & 1u) << (31 - bit);
  return reversed;
}
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline void __threadfence() {}
inline void __threadfence_block() {}
template <class T>
T __ldg(const T* address) {
  return *address;
}

#undef INSTASEG_SITE
#undef INSTASEG_HERE
