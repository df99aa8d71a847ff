// What a kernel finds wrong in the values of its inputs. Kernels cannot throw, and nobody waits for them: they skip
// what is wrong, leave the first place of it in the step's fault word (KernelContext::fault) and the run throws when
// its results are fetched, with the words of the row's `explain`.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/platform.h"

namespace instaseg::cuda {

struct Fault {
  int64_t element;  ///< at most 2^32 - 2: later ones count as that
  int32_t value;

  explicit Fault(uint64_t word)
      : element(static_cast<int64_t>(0xffffffffu - static_cast<uint32_t>(word >> 32))),
        value(static_cast<int32_t>(static_cast<uint32_t>(word))) {}
};

/// The lowest element wins, whatever the order of arrival.
__device__ __forceinline__ void report_fault(uint64_t* word, int64_t element, int32_t value) {
  const int64_t limited = element < 0xfffffffe ? element : 0xfffffffe;
  const uint64_t fault = static_cast<uint64_t>(0xffffffff - limited) << 32 | static_cast<uint32_t>(value);
  atomicMax(reinterpret_cast<unsigned long long*>(word), static_cast<unsigned long long>(fault));
}

}  // namespace instaseg::cuda
