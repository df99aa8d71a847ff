// The part of a sliding window that lies inside the input.
#pragma once

#include <algorithm>
#include <cstdint>

namespace instaseg::cpu {

/// Positions first, first + step, ... (count of them) along one axis; count may be 0.
struct WindowTaps {
  WindowTaps(int64_t begin, int64_t kernel, int64_t dilation, int64_t size) : step(dilation) {
    const int64_t skipped = begin < 0 ? (-begin + dilation - 1) / dilation : 0;
    const int64_t end = begin < size ? std::min(kernel, (size - 1 - begin) / dilation + 1) : 0;
    first = begin + skipped * dilation;
    count = std::max<int64_t>(0, end - skipped);
  }
  int64_t first;
  int64_t step;
  int64_t count;
};

}  // namespace instaseg::cpu
