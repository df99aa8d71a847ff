// exact_sigmoid over a span, in place, for whatever level it is inlined into.
#pragma once

#include "ops/decision_math.h"
#include "runtime/isa.h"

namespace instaseg::cpu {

INSTASEG_INLINE void exact_sigmoid_span(float* y, int64_t count) {
  // Two loops: one that also limits the argument does not vectorise.
  for (int64_t i = 0; i < count; ++i) y[i] = exp_argument(-y[i]);
  for (int64_t i = 0; i < count; ++i) y[i] = 1.0f / (1.0f + exact_exp_in_range(y[i]));
}

}  // namespace instaseg::cpu
