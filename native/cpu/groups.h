// Valid rows of each image of a tensor [images, capacity, ...].
#pragma once

#include <algorithm>

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

/// Cuts a workspace into arrays aligned to 64 bytes; a null base only measures.
class Carver {
 public:
  explicit Carver(char* base) : base_(base) {}
  template <class T>
  T* take(int64_t count) {
    char* at = base_ ? base_ + used_ : nullptr;
    used_ += (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(at);
  }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

}  // namespace instaseg::cpu
