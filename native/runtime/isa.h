// Instruction-set levels of the CPU kernels.
#pragma once

#include <string_view>

namespace instaseg {

/// Ordered: a machine that runs a level runs those before it.
enum class Isa { baseline, avx2, avx512 };

const char* name_of(Isa isa);
/// Throws ERR_ARGUMENT for an unknown name.
Isa isa_from_name(std::string_view name);
/// The highest level that this processor and operating system run.
Isa detect_isa();
/// The highest level that this process may use: detect_isa(), or what the environment variable INSTASEG_ISA names where
/// that is less. Throws ERR_ARGUMENT for a name that is no level.
Isa available_isa();

}  // namespace instaseg

// Function attributes for one level. Bodies shared by several levels are INSTASEG_INLINE and are called from thin
// wrappers that carry the level's attribute, so that the compiler vectorises each copy for its level. Nothing else in
// the addon is compiled for more than the baseline, so it loads on any x86-64.
#define INSTASEG_INLINE inline __attribute__((always_inline))
#if defined(__x86_64__)
#define INSTASEG_X86 1
#define INSTASEG_AVX2 __attribute__((target("avx2,fma")))
#define INSTASEG_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")))
#endif
