// Valid rows of each image of a tensor [images, capacity, ...].
#pragma once

#include <algorithm>

#include "runtime/carver.h"
#include "runtime/tensor.h"

namespace instaseg::cpu {

class ImageCounts {
 public:
  /// Without counts all `capacity` rows of every image are valid.
  ImageCounts(int64_t capacity, const TensorView& counts)
      : counts_(counts ? counts.i32() : nullptr), capacity_(capacity) {}
  int64_t operator[](int64_t image) const {
    return counts_ ? std::clamp<int64_t>(counts_[image], 0, capacity_) : capacity_;
  }

 private:
  const int32_t* counts_;
  int64_t capacity_;
};

}  // namespace instaseg::cpu
