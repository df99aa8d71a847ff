// preprocess, variants:
//   simt  one output pixel a thread, the images of a batch side by side in one launch. The taps come from a table that
//   a
//         kernel of its own fills first. Rows are mixed, then columns, then x * a + b a channel: the bits of the CPU's
//         fast variants
// An image whose sizes are wrong leaves its slot as it was and is reported (cuda/fault.h).
#include "ops/preprocess.h"

#include <algorithm>

#include "cuda/fault.h"
#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "ops/linear_axis.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;
// Images of one launch; those beyond go by further launches.
constexpr int64_t kImages = 32;

struct Images {
  const void* data[kImages];
  int32_t height[kImages], width[kImages];
  bool bytes[kImages];
};

struct Slot {
  int64_t height, width;
};

// For channel c of the output: the image's channel, and what normalising does to it.
struct Channels {
  int64_t source[3];
  float factor[3];
  float offset[3];
};

enum Complaint { kOther, kNoPixels, kDoesNotFit, kFine };

__device__ Complaint complaint_about(const int32_t* sizes, int64_t height, int64_t width, Slot slot) {
  if (sizes[0] != height || sizes[1] != width) return kOther;
  constexpr int32_t kLimit = 1 << 24;
  if (!(sizes[0] > 0 && sizes[1] > 0 && sizes[0] < kLimit && sizes[1] < kLimit)) return kNoPixels;
  if (!(sizes[2] > 0 && sizes[2] <= slot.height && sizes[3] > 0 && sizes[3] <= slot.width)) return kDoesNotFit;
  return kFine;
}

// Taps of the slot's rows, then of its columns, for every image (blockIdx.y).
__global__ void taps_kernel(LinearTap* __restrict__ taps, const int32_t* __restrict__ sizes, Images images, Slot slot,
                            int64_t first, uint64_t* fault) {
  const int64_t image = blockIdx.y;
  const int32_t* size = sizes + image * 4;
  const Complaint complaint = complaint_about(size, images.height[image], images.width[image], slot);
  if (complaint != kFine) {
    if (grid_thread() == 0) report_fault(fault, first + image, complaint);
    return;
  }
  LinearTap* table = taps + image * (slot.height + slot.width);
  for (int64_t i = grid_thread(); i < slot.height + slot.width; i += grid_threads()) {
    if (i < size[2]) table[i] = linear_tap(i, size[0], size[2]);
    const int64_t column = i - slot.height;
    if (column >= 0 && column < size[3]) table[i] = linear_tap(column, size[1], size[3]);
  }
}

template <class T>
__device__ __forceinline__ void sample(const T* __restrict__ image, int64_t width, const LinearTap& y,
                                       const LinearTap& x, const Channels& channels, float (&result)[3]) {
  const T* upper = image + y.first * width * 3;
  const T* lower = image + y.second * width * 3;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const int64_t left = int64_t{x.first} * 3 + channels.source[c];
    const int64_t right = int64_t{x.second} * 3 + channels.source[c];
    const float left_value =
        y.first_weight * static_cast<float>(upper[left]) + y.second_weight * static_cast<float>(lower[left]);
    const float right_value =
        y.first_weight * static_cast<float>(upper[right]) + y.second_weight * static_cast<float>(lower[right]);
    result[c] = (x.first_weight * left_value + x.second_weight * right_value) * channels.factor[c] + channels.offset[c];
  }
}

__global__ void __launch_bounds__(kBlock)
    pixels_kernel(float* __restrict__ output, const LinearTap* __restrict__ taps, const int32_t* __restrict__ sizes,
                  Images images, Slot slot, Divider columns, Channels channels) {
  const int64_t image = blockIdx.y;
  const int32_t* size = sizes + image * 4;
  if (complaint_about(size, images.height[image], images.width[image], slot) != kFine) return;
  const LinearTap* table = taps + image * (slot.height + slot.width);
  float* to = output + image * slot.height * slot.width * 3;
  for (int64_t i = grid_thread(); i < slot.height * slot.width; i += grid_threads()) {
    const Divider::Split at = columns.split(i);
    float result[3] = {};
    if (at.quotient < size[2] && at.remainder < size[3]) {
      const LinearTap y = table[at.quotient];
      const LinearTap x = table[slot.height + at.remainder];
      if (images.bytes[image]) {
        sample(static_cast<const uint8_t*>(images.data[image]), size[1], y, x, channels, result);
      } else {
        sample(static_cast<const float*>(images.data[image]), size[1], y, x, channels, result);
      }
    }
#pragma unroll
    for (int c = 0; c < 3; ++c) to[i * 3 + c] = result[c];
  }
}

void run(const Preprocess& op, const KernelContext& context) {
  const TensorView& output = context.outputs[0];
  const Slot slot{op.height, op.width};
  Channels channels;
  for (int64_t c = 0; c < 3; ++c) {
    const size_t k = static_cast<size_t>(op.statistics_channel(c));
    channels.source[c] = op.image_channel(c);
    channels.factor[c] = static_cast<float>(op.scale / op.std[k]);
    channels.offset[c] = static_cast<float>(-op.mean[k] / op.std[k]);
  }
  LinearTap* taps = reinterpret_cast<LinearTap*>(context.workspace);
  const int64_t count = output.shape[0];
  for (int64_t first = 0; first < count; first += kImages) {
    const int64_t part = std::min(kImages, count - first);
    Images images{};
    for (int64_t i = 0; i < part; ++i) {
      const TensorView& image = context.inputs[static_cast<size_t>(first + i) + 1];
      images.data[i] = image.data;
      // What does not fit 32 bits cannot be what the sizes say.
      images.height[i] = static_cast<int32_t>(std::min<int64_t>(image.shape[0], INT32_MAX));
      images.width[i] = static_cast<int32_t>(std::min<int64_t>(image.shape[1], INT32_MAX));
      images.bytes[i] = image.dtype == DType::u8;
    }
    const int32_t* sizes = context.inputs[0].i32() + first * 4;
    const auto grid = [&](int64_t items) { return dim3(blocks_for(items, kBlock), static_cast<unsigned>(part)); };
    launch(context, {.grid = grid(slot.height + slot.width), .block = kBlock}, taps_kernel, taps, sizes, images, slot,
           first, context.fault);
    launch(context, {.grid = grid(slot.height * slot.width), .block = kBlock}, pixels_kernel,
           output.as<float>() + first * slot.height * slot.width * 3, taps, sizes, images, slot, Divider(slot.width),
           channels);
  }
}

size_t workspace(const Preprocess& op, const Specs&, const Specs& outputs, int) {
  return static_cast<size_t>(std::min(kImages, outputs[0].shape[0]) * (op.height + op.width)) * sizeof(LinearTap);
}

void explain(const Preprocess& op, const Specs& inputs, uint64_t word) {
  const Fault fault(word);
  const Shape& shape = inputs[static_cast<size_t>(fault.element) + 1].shape;
  switch (fault.value) {
    case kOther:
      fail(ErrorCode::shape, Preprocess::name, ": image ", fault.element, " has shape ", shape,
           ", its sizes say another");
    case kNoPixels:
      fail(ErrorCode::shape, Preprocess::name, ": image ", fault.element, " of shape ", shape,
           " has no pixels or too many");
    default:
      fail(ErrorCode::shape, Preprocess::name, ": image ", fault.element, " of shape ", shape,
           ", resized as its sizes say, does not fit the batch of ", op.height, " x ", op.width);
  }
}

// Rows are found by the first input, the sizes; the images' own types are told apart inside.
const KernelRegistrations<Preprocess> simt(
    {DType::i32}, {.variant = "simt", .rank = 10, .workspace = workspace, .run = run, .explain = explain});

}  // namespace
}  // namespace instaseg::cuda
