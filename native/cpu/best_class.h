// The best class of a row of scores (selectCandidates, cross-class fastNms).
#pragma once

#include <cstdint>

#include "runtime/isa.h"

namespace instaseg::cpu {

struct BestClass {
  float score;
  int32_t index;
};

/// The highest of `count` > 0 scores, the first of equal ones. NaN where any score is NaN, as torch.max.
INSTASEG_INLINE BestClass best_class(const float* scores, int64_t count) {
  BestClass best{scores[0], 0};
  for (int64_t i = 1; i < count; ++i) {
    if (scores[i] > best.score || scores[i] != scores[i]) best = {scores[i], static_cast<int32_t>(i)};
  }
  return best;
}

}  // namespace instaseg::cpu
