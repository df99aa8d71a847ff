// Shapes and views of dense, row-major tensors. Images and feature maps are NHWC.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>

#include "runtime/dtype.h"
#include "runtime/error.h"

namespace instaseg {

inline constexpr int kMaxRank = 6;
/// A dimension that is only known when a plan runs (inputs and outputs of a few ops).
inline constexpr int64_t kDynamic = -1;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    require(dims.size() <= kMaxRank, ErrorCode::shape, "a tensor has at most ", kMaxRank, " dimensions");
    for (int64_t dim : dims) dims_[rank_++] = dim;
  }
  template <class Iterator>
  Shape(Iterator begin, Iterator end) {
    for (; begin != end; ++begin) append(static_cast<int64_t>(*begin));
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[axis]; }
  int64_t& operator[](int axis) { return dims_[axis]; }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  int64_t back() const { return dims_[rank_ - 1]; }

  void append(int64_t dim) {
    require(rank_ < kMaxRank, ErrorCode::shape, "a tensor has at most ", kMaxRank, " dimensions");
    dims_[rank_++] = dim;
  }
  bool dynamic() const {
    for (int64_t dim : *this) {
      if (dim < 0) return true;
    }
    return false;
  }
  /// Product of the dimensions; throws ERR_SHAPE where it does not fit 62 bits.
  int64_t elements() const {
    int64_t product = 1;
    for (int64_t dim : *this) {
      if (dim == 0) return 0;
      require(product <= (int64_t{1} << 62) / dim, ErrorCode::shape, "tensor of shape ", *this, " is too large");
      product *= dim;
    }
    return product;
  }
  /// Product of the dimensions [begin, end).
  int64_t elements(int begin, int end) const {
    int64_t product = 1;
    for (int axis = begin; axis < end; ++axis) product *= dims_[axis];
    return product;
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int axis = 0; axis < a.rank_; ++axis) {
      if (a.dims_[axis] != b.dims_[axis]) return false;
    }
    return true;
  }
  friend std::ostream& operator<<(std::ostream& stream, const Shape& shape) {
    stream << '[';
    for (int axis = 0; axis < shape.rank_; ++axis) {
      if (axis) stream << ", ";
      if (shape.dims_[axis] < 0) {
        stream << '?';
      } else {
        stream << shape.dims_[axis];
      }
    }
    return stream << ']';
  }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

/// What is known of a tensor before a plan runs.
struct TensorSpec {
  DType dtype = DType::f32;
  Shape shape;
  /// An optional input that the caller left out.
  bool absent = false;
  /// Its values are fixed when the plan is compiled (weights).
  bool constant = false;

  int64_t bytes() const { return shape.elements() * static_cast<int64_t>(size_of(dtype)); }
};

/// A tensor's memory while a plan runs; `data` is null for an absent optional input.
struct TensorView {
  DType dtype = DType::f32;
  Shape shape;
  void* data = nullptr;

  explicit operator bool() const { return data != nullptr; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  const float* f32() const { return static_cast<const float*>(data); }
  const int32_t* i32() const { return static_cast<const int32_t*>(data); }
  int64_t elements() const { return shape.elements(); }
  int64_t bytes() const { return shape.elements() * static_cast<int64_t>(size_of(dtype)); }
};

}  // namespace instaseg
