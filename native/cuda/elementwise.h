// Ops that compute every element from the elements at the same place of their inputs: bound by memory, so 16 bytes of
// the wider type an access, and a scalar loop for what is left at the end.
#pragma once

#include <algorithm>

#include "cuda/launch.h"
#include "cuda/vectors.h"

namespace instaseg::cuda {

/// y[i] = f(x[i]), f mapping stored elements.
template <class F, class Y, class X>
struct UnaryMap {
  F f;
  Y* y;
  const X* x;

  static constexpr int kWidth = static_cast<int>(16 / std::max(sizeof(Y), sizeof(X)));
  bool aligned() const { return is_aligned(y, sizeof(Y) * kWidth) && is_aligned(x, sizeof(X) * kWidth); }
  template <int N>
  __device__ __forceinline__ void compute(int64_t i) const {
    const Vec<X, N> from = load_vec<N>(x + i);
    Vec<Y, N> to;
#pragma unroll
    for (int k = 0; k < N; ++k) to[k] = f(from[k]);
    store_vec(y + i, to);
  }
};

/// y[i] = f(a[i], b[i])
template <class F, class T>
struct BinaryMap {
  F f;
  T* y;
  const T* a;
  const T* b;

  static constexpr int kWidth = kVectorWidth<T>;
  bool aligned() const { return is_aligned(y, 16) && is_aligned(a, 16) && is_aligned(b, 16); }
  template <int N>
  __device__ __forceinline__ void compute(int64_t i) const {
    const Vec<T, N> left = load_vec<N>(a + i);
    const Vec<T, N> right = load_vec<N>(b + i);
    Vec<T, N> to;
#pragma unroll
    for (int k = 0; k < N; ++k) to[k] = f(left[k], right[k]);
    store_vec(y + i, to);
  }
};

template <int N, class Map>
__global__ void map_kernel(int64_t count, Map map) {
  const int64_t vectors = count / N;
  for (int64_t i = grid_thread(); i < vectors; i += grid_threads()) map.template compute<N>(i * N);
  if constexpr (N > 1) {
    for (int64_t i = vectors * N + grid_thread(); i < count; i += grid_threads()) map.template compute<1>(i);
  }
}

template <class Map>
void launch_map(const KernelContext& context, int64_t count, const Map& map) {
  constexpr int kBlock = 256;
  if (map.aligned()) {
    launch(context, {.grid = blocks_for((count + Map::kWidth - 1) / Map::kWidth, kBlock), .block = kBlock},
           map_kernel<Map::kWidth, Map>, count, map);
  } else {
    launch(context, {.grid = blocks_for(count, kBlock), .block = kBlock}, map_kernel<1, Map>, count, map);
  }
}

/// A function of floats as one of stored elements: inputs are widened, the result is rounded once.
template <class F>
struct OnFloats {
  F f;
  template <class T, class... Others>
  __device__ __forceinline__ T operator()(T x, Others... others) const {
    return from_float<T>(f(to_float(x), to_float(others)...));
  }
};

/// The whole of an op with one input, its output being of the same dtype and shape.
template <class F>
void map_floats(const KernelContext& context, const F& f) {
  const TensorView& output = context.outputs[0];
  with_float_type(output.dtype, [&]<class T>() {
    launch_map(context, output.elements(),
               UnaryMap<OnFloats<F>, T, T>{{f}, output.as<T>(), context.inputs[0].as<const T>()});
  });
}

/// The same with two inputs.
template <class F>
void map_float_pairs(const KernelContext& context, const F& f) {
  const TensorView& output = context.outputs[0];
  with_float_type(output.dtype, [&]<class T>() {
    launch_map(context, output.elements(),
               BinaryMap<OnFloats<F>, T>{
                   {f}, output.as<T>(), context.inputs[0].as<const T>(), context.inputs[1].as<const T>()});
  });
}

}  // namespace instaseg::cuda
