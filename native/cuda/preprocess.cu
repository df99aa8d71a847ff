// preprocess, variants:
//   simt  one output pixel a thread, the images of a batch side by side in one launch. The taps come from a table
//         that a kernel of its own fills first. Rows are mixed, then columns, then x * a + b a channel: the bits of the
//         CPU's fast variants
// An image whose sizes are wrong leaves its slot as it was and is reported (cuda/fault.h).
#include "ops/preprocess.h"

#include <algorithm>

#include "cuda/image_batch.h"
#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "ops/linear_axis.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;

// For channel c of the output: the image's channel, and what normalising does to it.
struct Channels {
  int64_t source[3];
  float factor[3];
  float offset[3];
};

// Taps of the slot's rows, then of its columns, for every image (blockIdx.y).
__global__ void taps_kernel(LinearTap* __restrict__ taps, ImageBatch batch, Slot slot, uint64_t* fault) {
  const int64_t image = blockIdx.y;
  if (!has_right_sizes(batch, image, slot, grid_thread() == 0, fault)) return;
  const int32_t* size = batch.sizes + image * 4;
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
    pixels_kernel(float* __restrict__ output, const LinearTap* __restrict__ taps, ImageBatch batch, Slot slot,
                  Divider columns, Channels channels) {
  const int64_t image = blockIdx.y;
  if (complaint_about(batch, image, slot) != kFine) return;
  const int32_t* size = batch.sizes + image * 4;
  const LinearTap* table = taps + image * (slot.height + slot.width);
  float* to = output + (batch.first + image) * slot.height * slot.width * 3;
  for (int64_t i = grid_thread(); i < slot.height * slot.width; i += grid_threads()) {
    const Divider::Split at = columns.split(i);
    float result[3] = {};
    if (at.quotient < size[2] && at.remainder < size[3]) {
      const LinearTap y = table[at.quotient];
      const LinearTap x = table[slot.height + at.remainder];
      if (batch.bytes[image]) {
        sample(static_cast<const uint8_t*>(batch.data[image]), size[1], y, x, channels, result);
      } else {
        sample(static_cast<const float*>(batch.data[image]), size[1], y, x, channels, result);
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
  for (int64_t first = 0; first < output.shape[0]; first += kImages) {
    const ImageBatch batch(context, first);
    const auto grid = [&](int64_t items) {
      return dim3(blocks_for(items, kBlock), static_cast<unsigned>(batch.count));
    };
    launch(context, {.grid = grid(slot.height + slot.width), .block = kBlock}, taps_kernel, taps, batch, slot,
           context.fault);
    launch(context, {.grid = grid(slot.height * slot.width), .block = kBlock}, pixels_kernel, output.as<float>(), taps,
           batch, slot, Divider(slot.width), channels);
  }
}

size_t workspace(const Preprocess& op, const Specs&, const Specs& outputs, int) {
  return static_cast<size_t>(std::min(kImages, outputs[0].shape[0]) * (op.height + op.width)) * sizeof(LinearTap);
}

// Rows are found by the first input, the sizes; the images' own types are told apart inside.
const KernelRegistrations<Preprocess> simt(
    {DType::i32},
    {.variant = "simt", .rank = 10, .workspace = workspace, .run = run, .explain = explain_sizes<Preprocess>});

}  // namespace
}  // namespace instaseg::cuda
