// Copies of many runs of bytes of one length (concat, slice, pad), over all threads whether there are many or one.
#pragma once

#include <algorithm>
#include <cstring>

#include "runtime/registry.h"

namespace instaseg::cpu {

struct Run {
  char* to;
  const char* from;
};

/// locate(i) gives the two ends of run i, 0 <= i < runs.
template <class Locate>
void copy_runs(const KernelContext& context, int64_t runs, int64_t run_bytes, const Locate& locate) {
  context.parallel_for(runs * run_bytes, 1 << 17, [&](int64_t begin, int64_t end, int) {
    while (begin < end) {
      const Run run = locate(begin / run_bytes);
      const int64_t skip = begin % run_bytes;
      const int64_t bytes = std::min(run_bytes - skip, end - begin);
      std::memcpy(run.to + skip, run.from + skip, static_cast<size_t>(bytes));
      begin += bytes;
    }
  });
}

/// A block of `size` elements at `begin` inside a dense tensor of shape `whole`, as runs of contiguous elements.
class BlockRuns {
 public:
  BlockRuns(const Shape& whole, const Shape& size, const int64_t* begin) : size_(size) {
    // Axes that the block covers whole join the run of the axis before them.
    axes_ = whole.rank();
    while (axes_ > 0 && size[axes_ - 1] == whole[axes_ - 1]) --axes_;
    if (axes_ > 0) --axes_;
    run_ = size.elements(axes_, size.rank());
    runs_ = size.elements(0, axes_);
    int64_t stride = 1;
    for (int axis = whole.rank() - 1; axis >= 0; --axis) {
      strides_[axis] = stride;
      offset_ += begin[axis] * stride;
      stride *= whole[axis];
    }
  }

  int64_t runs() const { return runs_; }
  /// Elements of one run.
  int64_t length() const { return run_; }
  /// Element of the whole tensor at which run i begins.
  int64_t start(int64_t i) const {
    int64_t position = offset_;
    for (int axis = axes_ - 1; axis >= 0; --axis) {
      position += i % size_[axis] * strides_[axis];
      i /= size_[axis];
    }
    return position;
  }

 private:
  Shape size_;
  int axes_ = 0;
  int64_t strides_[kMaxRank] = {};
  int64_t offset_ = 0;
  int64_t run_ = 1;
  int64_t runs_ = 1;
};

}  // namespace instaseg::cpu
