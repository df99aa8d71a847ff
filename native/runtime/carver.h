// Cutting a kernel's workspace into arrays.
#pragma once

#include <cstddef>
#include <cstdint>

namespace instaseg {

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

}  // namespace instaseg
