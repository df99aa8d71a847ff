// What the kernels of pasteMasks and pasteMasksRle share: the call's inputs, places and pixels (ops/paste_rules.h).
#pragma once

#include "cuda/block.h"
#include "cuda/boxes.h"
#include "cuda/launch.h"
#include "ops/paste_rules.h"

namespace instaseg::cuda {

/// The call's inputs; rows are masks.
struct PasteProblem {
  PasteProblem(const PasteRules& rules, const KernelContext& context)
      : rule(rules.rule),
        threshold(rules.threshold),
        masks(context.inputs[0].f32()),
        boxes(context.inputs[1].as<const Box>()),
        sizes(context.inputs[2].i32()),
        counts(RowCounts::of_groups(context.inputs[1].shape[1], input_or_absent(context, 3))),
        rows(context.inputs[1].elements() / 4),
        mask_height(context.inputs[0].shape[context.inputs[0].shape.rank() - 2]),
        mask_width(context.inputs[0].shape.back()) {}

  __device__ __forceinline__ int64_t image_height(int64_t row) const { return size(row, 0); }
  __device__ __forceinline__ int64_t image_width(int64_t row) const { return size(row, 1); }
  __device__ __forceinline__ PastePlace place(int64_t row) const {
    return paste_place(rule, load_box(boxes, row), mask_height, mask_width, image_height(row), image_width(row));
  }
  /// One pixel; the taps are those of its row and column.
  template <PasteRule Rule>
  __device__ __forceinline__ float pixel(int64_t row, const PasteTap& ty, const PasteTap& tx) const {
    const float* mask = masks + row * mask_height * mask_width;
    const auto value = [&](int y, int x) {
      const bool inside = y >= 1 && y <= mask_height && x >= 1 && x <= mask_width;
      return inside ? mask[(y - 1) * mask_width + x - 1] : 0.0f;
    };
    return paste_value<Rule>(value(ty.at, tx.at), value(ty.at, tx.at + 1), value(ty.at + 1, tx.at),
                             value(ty.at + 1, tx.at + 1), tx.w0, tx.w1, ty.w0, ty.w1);
  }
  template <PasteRule Rule>
  __device__ __forceinline__ bool set(int64_t row, const PasteTap& ty, const PasteTap& tx) const {
    return paste_inside<Rule>(pixel<Rule>(row, ty, tx), threshold);
  }

  PasteRule rule;
  float threshold;
  const float* masks;
  const Box* boxes;
  const int32_t* sizes;
  RowCounts counts;
  int64_t rows;
  int64_t mask_height;
  int64_t mask_width;

 private:
  __device__ __forceinline__ int64_t size(int64_t row, int axis) const {
    const int32_t pixels = sizes[row / counts.capacity * 4 + axis];
    return pixels > 0 ? pixels : 0;
  }
};

__device__ __forceinline__ void write_region(int32_t* regions, int64_t row, const PastePlace& place) {
  store_vec(regions + row * 4,
            Vec<int32_t, 4>{static_cast<int32_t>(place.x.begin), static_cast<int32_t>(place.y.begin),
                            static_cast<int32_t>(place.width()), static_cast<int32_t>(place.height())});
}

/// Reads what kernels have written so far.
template <class T>
T download(const KernelContext& context, const T* device) {
  T host;
  context.backend->download(&host, device, sizeof(T));
  context.backend->synchronize();
  return host;
}

}  // namespace instaseg::cuda
