// Activations over a span, in place, for whatever level they are inlined into. The same bits as the ops of these names.
#pragma once

#include "cpu/exp.h"
#include "ops/conv_rules.h"

namespace instaseg::cpu {

INSTASEG_INLINE void activate_span(Activation activation, float* values, int64_t count) {
  switch (activation) {
    case Activation::none:
      return;
    case Activation::relu:
      for (int64_t i = 0; i < count; ++i) values[i] = values[i] < 0.0f ? 0.0f : values[i];
      return;
    case Activation::sigmoid:
      for (int64_t i = 0; i < count; ++i) values[i] = vector_sigmoid(values[i]);
      return;
    case Activation::tanh:
      for (int64_t i = 0; i < count; ++i) values[i] = vector_tanh(values[i]);
      return;
  }
}

}  // namespace instaseg::cpu
