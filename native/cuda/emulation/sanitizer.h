// What the emulator asks of compilers and of AddressSanitizer; the latter is nothing in builds without it.
#pragma once

#include <cstddef>

// The build defines INSTASEG_ASAN, since the emulator's own files are compiled without checks: they are the inner loop
// of everything, and reach into the stacks of fibers that are not running.
#ifdef INSTASEG_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Thread-local variables that every switch touches: reached without a call, though the addon is loaded late.
#define INSTASEG_INITIAL_EXEC __attribute__((tls_model("initial-exec")))

namespace instaseg::cuda::emulation {

#ifdef INSTASEG_ASAN
inline void poison(const void* address, size_t bytes) { __asan_poison_memory_region(address, bytes); }
inline void unpoison(const void* address, size_t bytes) { __asan_unpoison_memory_region(address, bytes); }
#else
inline void poison(const void*, size_t) {}
inline void unpoison(const void*, size_t) {}
#endif

}  // namespace instaseg::cuda::emulation
