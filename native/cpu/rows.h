// Row counts of tensors with a fixed capacity (see require_counts).
#pragma once

#include <algorithm>

#include "runtime/registry.h"

namespace instaseg::cpu {

/// Maps the valid rows of a counted tensor to 0..total() - 1 and back, so that loops cover valid rows only.
class ValidRows {
 public:
  /// `rows`: capacity of all groups together; without counts every row is valid.
  ValidRows(int64_t rows, const TensorView& counts) : rows_(rows), total_(rows) {
    if (!counts) return;
    counts_ = counts.i32();
    groups_ = counts.shape[0];
    capacity_ = groups_ ? rows / groups_ : 0;
    total_ = 0;
    for (int64_t group = 0; group < groups_; ++group) total_ += count(group);
  }

  int64_t total() const { return total_; }
  int64_t groups() const { return groups_; }
  int64_t capacity() const { return counts_ ? capacity_ : rows_; }
  int64_t count(int64_t group) const { return counts_ ? std::clamp<int64_t>(counts_[group], 0, capacity_) : rows_; }
  /// Row in the tensor of the i-th valid row.
  int64_t row(int64_t i) const {
    if (!counts_) return i;
    int64_t group = 0;
    while (i >= count(group)) i -= count(group++);
    return group * capacity_ + i;
  }

 private:
  const int32_t* counts_ = nullptr;
  int64_t rows_ = 0;
  int64_t groups_ = 1;
  int64_t capacity_ = 0;
  int64_t total_ = 0;
};

}  // namespace instaseg::cpu
