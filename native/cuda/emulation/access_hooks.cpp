// What -fsanitize=thread makes the compiler call for every memory access (races.h). Only accesses to shared memory by
// running kernels are of interest; host code of the same files comes by, too.
#ifdef INSTASEG_EMULATION_RACES

#include <cstddef>
#include <cstdint>

#include "cuda/emulation/engine.h"

namespace emulation = instaseg::cuda::emulation;
using emulation::Access;

#define INSTASEG_HOOK extern "C" __attribute__((visibility("hidden"))) void

#define INSTASEG_HOOKS_OF_SIZE(bytes)                                                   \
  INSTASEG_HOOK __tsan_read##bytes(const void* address) {                               \
    emulation::note_access(Access::read, address, bytes, __builtin_return_address(0));  \
  }                                                                                     \
  INSTASEG_HOOK __tsan_write##bytes(const void* address) {                              \
    emulation::note_access(Access::write, address, bytes, __builtin_return_address(0)); \
  }                                                                                     \
  INSTASEG_HOOK __tsan_unaligned_read##bytes(const void* address) {                     \
    emulation::note_access(Access::read, address, bytes, __builtin_return_address(0));  \
  }                                                                                     \
  INSTASEG_HOOK __tsan_unaligned_write##bytes(const void* address) {                    \
    emulation::note_access(Access::write, address, bytes, __builtin_return_address(0)); \
  }
INSTASEG_HOOKS_OF_SIZE(1)
INSTASEG_HOOKS_OF_SIZE(2)
INSTASEG_HOOKS_OF_SIZE(4)
INSTASEG_HOOKS_OF_SIZE(8)
INSTASEG_HOOKS_OF_SIZE(16)

INSTASEG_HOOK __tsan_read_range(const void* address, unsigned long bytes) {
  emulation::note_access(Access::read, address, bytes, __builtin_return_address(0));
}
INSTASEG_HOOK __tsan_write_range(const void* address, unsigned long bytes) {
  emulation::note_access(Access::write, address, bytes, __builtin_return_address(0));
}
INSTASEG_HOOK __tsan_init() {}
INSTASEG_HOOK __tsan_vptr_update(void**, void*) {}
INSTASEG_HOOK __tsan_vptr_read(void**) {}

// Reference counts and guards of host code: the operations themselves.
extern "C" __attribute__((visibility("hidden"))) int __tsan_atomic32_fetch_add(volatile int* address, int value, int) {
  return __atomic_fetch_add(address, value, __ATOMIC_SEQ_CST);
}
extern "C" __attribute__((visibility("hidden"))) int __tsan_atomic32_fetch_sub(volatile int* address, int value, int) {
  return __atomic_fetch_sub(address, value, __ATOMIC_SEQ_CST);
}
extern "C" __attribute__((visibility("hidden"))) int __tsan_atomic32_load(const volatile int* address, int) {
  return __atomic_load_n(address, __ATOMIC_SEQ_CST);
}
extern "C" __attribute__((visibility("hidden"))) long __tsan_atomic64_load(const volatile long* address, int) {
  return __atomic_load_n(address, __ATOMIC_SEQ_CST);
}
extern "C" __attribute__((visibility("hidden"))) char __tsan_atomic8_load(const volatile char* address, int) {
  return __atomic_load_n(address, __ATOMIC_SEQ_CST);
}

#endif
