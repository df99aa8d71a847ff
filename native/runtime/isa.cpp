#include "runtime/isa.h"

#include <algorithm>
#include <cstdlib>

#include "runtime/error.h"

namespace instaseg {

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::baseline:
      return "baseline";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
}

Isa isa_from_name(std::string_view name) {
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (name == name_of(isa)) return isa;
  }
  fail(ErrorCode::argument, "isa must be one of baseline, avx2, avx512; received \"", name, "\"");
}

Isa detect_isa() {
#ifdef INSTASEG_X86
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::baseline;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return avx512 ? Isa::avx512 : Isa::avx2;
#else
  return Isa::baseline;
#endif
}

Isa available_isa() {
  const char* limit = std::getenv("INSTASEG_ISA");
  if (!limit || !*limit) return detect_isa();
  try {
    return std::min(isa_from_name(limit), detect_isa());
  } catch (const Error& error) {
    fail(error.code(), "environment variable INSTASEG_ISA: ", error.what());
  }
}

}  // namespace instaseg
