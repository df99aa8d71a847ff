// What the convolutions and linear do with a sum before they store it: activation(sum * scale + bias + residual), in
// f32, rounded once to the output's type; and which rows are valid at all.
#pragma once

#include <cmath>

#include "cuda/index_divider.h"
#include "cuda/numeric.h"
#include "ops/conv_rules.h"

namespace instaseg::cuda {

/// `scale` and `bias` per output channel, `residual` of the output's shape and type; null where absent.
struct Epilogue {
  const float* scale = nullptr;
  const float* bias = nullptr;
  const void* residual = nullptr;
  Activation activation = Activation::none;
};

__device__ __forceinline__ float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x < 0.0f ? 0.0f : x;  // NaN stays NaN
    case Activation::sigmoid:
      return 1.0f / (1.0f + expf(-x));
    case Activation::tanh:
      return tanhf(x);
  }
  return x;
}

/// Counts [groups of images] on the device, each for `capacity` images; see require_counts.
struct CountedImages {
  const int32_t* counts = nullptr;
  IndexDivider capacity;

  CountedImages() = default;
  CountedImages(const TensorView& view, int64_t images)
      : counts(view ? view.i32() : nullptr),
        capacity(static_cast<int>(view && images > 0 ? images / view.shape[0] : 1)) {}

  __device__ __forceinline__ bool valid(int image) const {
    if (!counts) return true;
    const int group = capacity.quotient(image);
    return image - group * capacity.divisor() < counts[group];
  }
};

/// 16 bytes, moved at once.
template <class T>
inline constexpr int kChunk = 16 / static_cast<int>(sizeof(T));
template <class T>
using Chunk = Vec<T, kChunk<T>>;

/// scale, bias, residual and activation of up to `Size` neighbouring channels, stored in the output's type.
template <class T, int Size>
class EpilogueColumns {
 public:
  /// For channels from `channel` on, `count` of them (at most Size) real.
  __device__ __forceinline__ EpilogueColumns(const Epilogue& epilogue, int channel, int count)
      : epilogue_(epilogue), channel_(channel), count_(count) {
#pragma unroll
    for (int i = 0; i < Size; ++i) {
      scale_[i] = epilogue.scale && i < count ? __ldg(epilogue.scale + channel + i) : 1.0f;
      bias_[i] = epilogue.bias && i < count ? __ldg(epilogue.bias + channel + i) : 0.0f;
    }
  }

  /// `pixel_start`: elements before the output pixel. `whole`: Size channels, aligned to their bytes.
  __device__ __forceinline__ void store(T* output, int64_t pixel_start, float (&values)[Size], bool whole) const {
    const int64_t at = pixel_start + channel_;
#pragma unroll
    for (int i = 0; i < Size; ++i) values[i] = values[i] * scale_[i] + bias_[i];
    if (epilogue_.residual) {
      const T* residual = static_cast<const T*>(epilogue_.residual) + at;
      if (whole) {
        const Vec<T, Size> vec = load_vec<Size>(residual);
#pragma unroll
        for (int i = 0; i < Size; ++i) values[i] += to_float(vec[i]);
      } else {
#pragma unroll
        for (int i = 0; i < Size; ++i) {
          if (i < count_) values[i] += to_float(residual[i]);
        }
      }
    }
    if (epilogue_.activation != Activation::none) {
#pragma unroll
      for (int i = 0; i < Size; ++i) values[i] = activate(epilogue_.activation, values[i]);
    }
    if (whole) {
      Vec<T, Size> vec;
#pragma unroll
      for (int i = 0; i < Size; ++i) vec[i] = from_float<T>(values[i]);
      store_vec(output + at, vec);
    } else {
#pragma unroll
      for (int i = 0; i < Size; ++i) {
        if (i < count_) output[at + i] = from_float<T>(values[i]);
      }
    }
  }

 private:
  const Epilogue& epilogue_;
  int channel_;
  int count_;
  float scale_[Size];
  float bias_[Size];
};

}  // namespace instaseg::cuda
