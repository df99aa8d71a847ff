// A dense tensor seen through a window: output[i] = input[i + shift], or a constant where that lies outside the input
// (slice: a shift into the input, pad: a shift before it).
#pragma once

#include <utility>

#include "cuda/launch.h"
#include "cuda/units.h"
#include "runtime/tensor.h"

namespace instaseg::cuda {

class WindowCopy {
 public:
  /// `shift`: where axis by axis the output begins in the input; negative before it.
  WindowCopy(const Shape& input, const Shape& output, const int64_t* shift) {
    // Axes that are the same on both sides join the axis before them.
    int64_t run = 1;
    for (int axis = output.rank() - 1; axis >= 0; --axis) {
      const bool whole = shift[axis] == 0 && input[axis] == output[axis];
      if (whole && axis > 0) {
        run *= output[axis];
        continue;
      }
      axes_[count_++] = {Divider(output[axis] * run), input[axis] * run, shift[axis] * run};
      run = 1;
    }
  }

  /// Greatest common divisor of the lengths and shifts of the innermost axis, in elements.
  int64_t granularity() const {
    const Axis& inner = axes_[0];
    return std::gcd(std::gcd(inner.output.divisor(), inner.input), inner.shift);
  }
  /// The same window with `elements` elements as one unit.
  WindowCopy in_units_of(int64_t elements) const {
    WindowCopy copy = *this;
    if (elements == 1) return copy;
    Axis& inner = copy.axes_[0];
    inner = {Divider(inner.output.divisor() / elements), inner.input / elements, inner.shift / elements};
    return copy;
  }

  /// The unit of the input that unit i of the output shows, or -1.
  __device__ int64_t source(int64_t i) const {
    int64_t stride = 1;
    int64_t from = 0;
    bool inside = true;
    // A constant bound and early end let the axes stay in registers.
#pragma unroll
    for (int axis = 0; axis < kMaxRank; ++axis) {
      if (axis >= count_) break;
      const Divider::Split at = axes_[axis].output.split(i);
      const int64_t place = at.remainder + axes_[axis].shift;
      inside = inside && place >= 0 && place < axes_[axis].input;
      from += place * stride;
      stride *= axes_[axis].input;
      i = at.quotient;
    }
    return inside ? from : -1;
  }

 private:
  struct Axis {
    Divider output;
    int64_t input = 1;
    int64_t shift = 0;
  };
  /// Innermost first.
  Axis axes_[kMaxRank];
  int count_ = 0;
};

template <class T>
__global__ void __launch_bounds__(256) window_copy_kernel(const T* __restrict__ input, T* __restrict__ output,
                                                          int64_t units, WindowCopy window, T outside) {
  for (int64_t i = grid_thread(); i < units; i += grid_threads()) {
    const int64_t from = window.source(i);
    if (from >= 0) {
      move_unit(output + i, input + from);
    } else {
      move_unit(output + i, &outside);
    }
  }
}

/// `outside`: the bits of one element.
inline void launch_window_copy(const KernelContext& context, const int64_t* shift, uint32_t outside) {
  const TensorView& input = context.inputs[0];
  const TensorView& output = context.outputs[0];
  if (output.elements() == 0) return;
  const WindowCopy window(input.shape, output.shape, shift);
  const auto element = static_cast<int64_t>(size_of(output.dtype));
  const int64_t divisor =
      std::gcd(window.granularity() * element, std::gcd(alignment_of(input.data), alignment_of(output.data)));
  with_unit(divisor, [&]<class T>() {
    T fill;
    for (int64_t byte = 0; byte < T::kBytes; ++byte) {
      fill.bytes[byte] = static_cast<uint8_t>(outside >> byte % element * 8);
    }
    const int64_t units = output.bytes() / T::kBytes;
    launch(context, {.grid = blocks_for(units, 256), .block = 256}, window_copy_kernel<T>, input.as<const T>(),
           output.as<T>(), units, window.in_units_of(T::kBytes / element), fill);
  });
}

}  // namespace instaseg::cuda
