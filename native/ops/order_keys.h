// Total orders of (value, index) pairs as integers: topK, sort, nms and filterBoxes agree on ties and NaN, on every
// device.
//
// A pair is one u64, key << 32 | index; smaller comes first. Equal values (-0 equals 0) keep the order of their
// indices, NaN comes after every number in both directions.
#pragma once

#include "ops/decision_math.h"

namespace instaseg {

/// Monotone in x: the sign bit flips, negative values reverse.
INSTASEG_DECISION uint32_t ascending_key(float x) {
  if (x != x) return UINT32_MAX;
  if (x == 0) return 0x80000000u;
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
INSTASEG_DECISION uint32_t descending_key(float x) { return x != x ? UINT32_MAX : ~ascending_key(x); }

INSTASEG_DECISION uint64_t order_pair(uint32_t key, int64_t index) {
  return static_cast<uint64_t>(key) << 32 | static_cast<uint32_t>(index);
}
INSTASEG_DECISION int32_t pair_index(uint64_t pair) { return static_cast<int32_t>(static_cast<uint32_t>(pair)); }

}  // namespace instaseg
