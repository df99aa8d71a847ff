// Sorting and selecting (value, index) pairs (ops/order_keys.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "ops/order_keys.h"
#include "runtime/isa.h"

#ifdef INSTASEG_X86
#include <immintrin.h>
#endif

namespace instaseg::cpu {

/// Sorts pairs whose low words ascend already: radix sort of the high words, 11 bits a pass; passes in which all digits
/// are equal are left out. `scratch` holds `count` pairs too.
inline void sort_pairs(uint64_t* pairs, uint64_t* scratch, int64_t count) {
  if (count < 256) {
    std::sort(pairs, pairs + count);
    return;
  }
  constexpr int kDigits = 3;
  constexpr int kShift[kDigits] = {32, 43, 54};
  constexpr uint32_t kBins = 2048;
  uint32_t histogram[kDigits][kBins];
  std::memset(histogram, 0, sizeof(histogram));
  for (int64_t i = 0; i < count; ++i) {
    for (int d = 0; d < kDigits; ++d) ++histogram[d][pairs[i] >> kShift[d] & (kBins - 1)];
  }
  uint64_t* from = pairs;
  uint64_t* to = scratch;
  for (int d = 0; d < kDigits; ++d) {
    uint32_t* bins = histogram[d];
    if (bins[from[0] >> kShift[d] & (kBins - 1)] == count) continue;
    uint32_t start = 0;
    for (uint32_t bin = 0; bin < kBins; ++bin) start += std::exchange(bins[bin], start);
    for (int64_t i = 0; i < count; ++i) to[bins[from[i] >> kShift[d] & (kBins - 1)]++] = from[i];
    std::swap(from, to);
  }
  if (from != pairs) std::memcpy(pairs, from, static_cast<size_t>(count) * sizeof(uint64_t));
}

/// Whether any of 16 values is above the threshold (NaN is not). GCC does not vectorise the loop by itself.
inline bool any_of_16_above(const float* x, float threshold) {
#ifdef INSTASEG_X86
  const __m128 t = _mm_set1_ps(threshold);
  const __m128 first = _mm_or_ps(_mm_cmpgt_ps(_mm_loadu_ps(x), t), _mm_cmpgt_ps(_mm_loadu_ps(x + 4), t));
  const __m128 second = _mm_or_ps(_mm_cmpgt_ps(_mm_loadu_ps(x + 8), t), _mm_cmpgt_ps(_mm_loadu_ps(x + 12), t));
  return _mm_movemask_ps(_mm_or_ps(first, second)) != 0;
#else
  int any = 0;
  for (int i = 0; i < 16; ++i) any |= x[i] > threshold;
  return any != 0;
#endif
}

/// Keeps the `k` smallest pairs of those pushed, in linear time: a buffer is cut back to k whenever it is full.
class Selector {
 public:
  static int64_t capacity(int64_t k) { return k + std::max<int64_t>(k, 1024); }
  Selector(uint64_t* buffer, int64_t k) : buffer_(buffer), k_(k) {}

  /// True once k pairs are held and worse ones can be skipped: those not smaller than limit().
  bool full() const { return full_; }
  uint64_t limit() const { return limit_; }

  INSTASEG_INLINE void push(uint64_t pair) {
    if (pair >= limit_) return;
    buffer_[size_++] = pair;
    if (size_ == capacity(k_)) cut();
  }
  /// Cuts to at most k pairs, in any order, and returns their number.
  int64_t finish() {
    if (size_ > k_) cut();
    return size_;
  }
  uint64_t* pairs() const { return buffer_; }

 private:
  void cut() {
    if (k_ > 0) std::nth_element(buffer_, buffer_ + k_ - 1, buffer_ + size_);
    limit_ = k_ > 0 ? buffer_[k_ - 1] : 0;
    size_ = k_;
    full_ = true;
  }

  uint64_t* buffer_;
  int64_t k_;
  int64_t size_ = 0;
  bool full_ = false;
  uint64_t limit_ = UINT64_MAX;
};

}  // namespace instaseg::cpu
