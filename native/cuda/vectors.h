// Accesses of up to 16 bytes along the channels, where a tensor allows them.
#pragma once

#include <cstdint>

#include "cuda/divide.h"
#include "cuda/numeric.h"
#include "runtime/tensor.h"

namespace instaseg::cuda {

/// Elements of T in 16 bytes.
template <class T>
inline constexpr int kVectorWidth = static_cast<int>(16 / sizeof(T));

inline bool is_aligned(const void* address, size_t bytes) { return reinterpret_cast<uintptr_t>(address) % bytes == 0; }

/// Calls `body.operator()<N>()` with N = kVectorWidth<T> where `channels` divides by it and all addresses are aligned
/// to 16 bytes, else with 1.
template <class T, class Body, class... Addresses>
void with_vector_width(int64_t channels, const Body& body, const Addresses*... addresses) {
  if (channels % kVectorWidth<T> == 0 && (is_aligned(addresses, 16) && ...)) {
    body.template operator()<kVectorWidth<T>>();
  } else {
    body.template operator()<1>();
  }
}

/// Places of the items of a tensor [N, H, W, C], an item being `width` channels.
class NhwcItems {
 public:
  struct Place {
    int64_t n, y, x, c;
  };

  NhwcItems(const Shape& shape, int width)
      : total_(shape.elements() / width),
        width_(width),
        groups_(shape[3] / width),
        columns_(shape[2]),
        rows_(shape[1]) {}

  __host__ __device__ int64_t total() const { return total_; }
  __device__ Place operator[](int64_t i) const {
    const Divider::Split group = groups_.split(i);
    const Divider::Split column = columns_.split(group.quotient);
    const Divider::Split row = rows_.split(column.quotient);
    return {row.quotient, row.remainder, column.remainder, group.remainder * width_};
  }

 private:
  int64_t total_;
  int64_t width_;
  Divider groups_, columns_, rows_;
};

/// Number of this thread in the grid, and how many threads it has, for loops `for (i = grid_thread(); i < n; i +=
/// grid_threads())`.
__device__ __forceinline__ int64_t grid_thread() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64_t grid_threads() { return int64_t{gridDim.x} * blockDim.x; }

}  // namespace instaseg::cuda
