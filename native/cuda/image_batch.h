// Images of sizes that only a call knows, resized into the equal slots of a batch (preprocess, preprocessPillow).
// `sizes` i32 [N, 4] has the original and the resized height and width of each; it lies in device memory, so that
// kernels compare it with the images. Those whose sizes are wrong are reported (cuda/fault.h) and their slots left.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/fault.h"
#include "ops/shape_rules.h"
#include "runtime/registry.h"

namespace instaseg::cuda {

/// Images of one launch; those beyond go by further launches.
inline constexpr int64_t kImages = 32;

struct Slot {
  int64_t height, width;
};

struct ImageBatch {
  /// Images first, first + 1, ... of a call whose inputs are the sizes and then the images.
  ImageBatch(const KernelContext& context, int64_t first_image)
      : first(first_image),
        count(std::min(kImages, context.outputs[0].shape[0] - first_image)),
        sizes(context.inputs[0].i32() + first_image * 4) {
    for (int64_t i = 0; i < count; ++i) {
      const TensorView& image = context.inputs[static_cast<size_t>(first + i) + 1];
      data[i] = image.data;
      // What does not fit 32 bits cannot be what the sizes say.
      height[i] = static_cast<int32_t>(std::min<int64_t>(image.shape[0], INT32_MAX));
      width[i] = static_cast<int32_t>(std::min<int64_t>(image.shape[1], INT32_MAX));
      bytes[i] = image.dtype == DType::u8;
    }
  }

  int64_t first;
  int64_t count;
  const int32_t* sizes;  ///< of the batch's first image and the others
  const void* data[kImages] = {};
  int32_t height[kImages] = {};
  int32_t width[kImages] = {};
  bool bytes[kImages] = {};  ///< u8, else f32
};

enum SizeComplaint { kOtherSize, kNoPixels, kDoesNotFit, kFine };

__device__ __forceinline__ SizeComplaint complaint_about(const ImageBatch& batch, int64_t image, Slot slot) {
  const int32_t* sizes = batch.sizes + image * 4;
  if (sizes[0] != batch.height[image] || sizes[1] != batch.width[image]) return kOtherSize;
  constexpr int32_t kLimit = 1 << 24;
  if (!(sizes[0] > 0 && sizes[1] > 0 && sizes[0] < kLimit && sizes[1] < kLimit)) return kNoPixels;
  if (!(sizes[2] > 0 && sizes[2] <= slot.height && sizes[3] > 0 && sizes[3] <= slot.width)) return kDoesNotFit;
  return kFine;
}

/// Whether a kernel may look at the image; `reporting` for the one thread that says so where it may not.
__device__ __forceinline__ bool has_right_sizes(const ImageBatch& batch, int64_t image, Slot slot, bool reporting,
                                                uint64_t* fault) {
  const SizeComplaint complaint = complaint_about(batch, image, slot);
  if (complaint != kFine && reporting) report_fault(fault, batch.first + image, complaint);
  return complaint == kFine;
}

/// `explain` of an op with height and width of its slots.
template <class Op>
void explain_sizes(const Op& op, const Specs& inputs, uint64_t word) {
  const Fault fault(word);
  const Shape& shape = inputs[static_cast<size_t>(fault.element) + 1].shape;
  switch (fault.value) {
    case kOtherSize:
      fail(ErrorCode::shape, Op::name, ": image ", fault.element, " has shape ", shape, ", its sizes say another");
    case kNoPixels:
      fail(ErrorCode::shape, Op::name, ": image ", fault.element, " of shape ", shape, " has no pixels or too many");
    default:
      fail(ErrorCode::shape, Op::name, ": image ", fault.element, " of shape ", shape,
           ", resized as its sizes say, does not fit the batch of ", op.height, " x ", op.width);
  }
}

}  // namespace instaseg::cuda
