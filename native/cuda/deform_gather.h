// The rows of a deformable convolution's matrix product: for each output pixel and each tap a run of channels, sampled
// bilinearly where the tap's offset points and weighted by its mask, written into the product's tile in shared memory.
// The matrix of samples never exists in global memory. Places, weights and interpolation are f32 whatever the type.
//
// A sample outside (-1, H) x (-1, W) is 0, and so is one at NaN; a corner outside the image adds 0. A corner inside the
// image counts with weight 0 too, so that infinities spread as they do in torchvision.
#pragma once

#include "cuda/conv_gather.h"

namespace instaseg::cuda {

/// Offsets (dy, dx) and masks of the taps of each offset group, for each output pixel.
struct DeformOffsets {
  const float* offset = nullptr;  // [pixel][offset_stride], of which the first [offset group][tap][2] are offsets
  const float* mask = nullptr;    // [pixel][mask_stride], [offset group][tap]; or null
  int offset_stride = 0;
  int mask_stride = 0;
  int taps = 1;
  /// Channels of an offset group, a multiple of a chunk.
  int group_channels = 1;
  /// Masks are logits.
  bool sigmoid = false;
};

/// One row a thread: where its tap falls is kept in registers while k runs through the tap's channels. `fetch` reads
/// the four corners, `store` interpolates and rounds.
template <class T, int Rows, int Threads>
class DeformGather {
  static_assert(Rows * 4 == Threads);

 public:
  static constexpr int kTileElements = kTileBytes / static_cast<int>(sizeof(T));
  using Arguments = DeformOffsets;
  /// Coordinates and corners of samples; see resident_blocks().
  static constexpr bool kManyRegisters = true;

  __device__ __forceinline__ DeformGather(const GemmProblem& problem, const GemmPhase& phase,
                                          const DeformOffsets& offsets, int group, int first_row, int k_tile)
      : problem_(problem),
        phase_(phase),
        offsets_(offsets),
        row_(first_row + (static_cast<int>(threadIdx.x) >> 2)),
        first_channel_(group * problem.group_channels) {
    cursor_.seek(problem, phase, k_tile * kTileElements + (static_cast<int>(threadIdx.x) & 3) * kChunk<T>);
    const int row = row_ < phase.rows ? row_ : 0;
    const int image = phase.cells.quotient(row);
    const int cell = row - image * phase.cells.divisor();
    const int cell_y = phase.width.quotient(cell);
    y_ = cell_y * problem.stride_y + phase.y.first;
    x_ = (cell - cell_y * phase.width.divisor()) * problem.stride_x + phase.x.first;
    image_ = static_cast<const T*>(problem.input) + image * problem.image_elements;
  }

  __device__ __forceinline__ void fetch(char*) {
    const bool inside = row_ < phase_.rows && cursor_.inside(phase_);
    const int channel = first_channel_ + cursor_.channel;
    if (inside) {
      const int tap = cursor_.tap_y * phase_.x.count + cursor_.tap_x;
      const int sample = channel / offsets_.group_channels * offsets_.taps + tap;
      if (sample != sample_) place(sample);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (inside && at_[i] >= 0) {
        corner_[i] = load_vec<kChunk<T>>(image_ + (at_[i] + channel));
      } else {
#pragma unroll
        for (int e = 0; e < kChunk<T>; ++e) corner_[i][e] = from_float<T>(0.0f);
      }
    }
    cursor_.advance(problem_, phase_, kTileElements);
  }

  __device__ __forceinline__ void store(char* tile) const {
    Chunk<T> chunk;
#pragma unroll
    for (int e = 0; e < kChunk<T>; ++e) {
      float value = weight_[0] * to_float(corner_[0][e]);
#pragma unroll
      for (int i = 1; i < 4; ++i) value = __fmaf_rn(weight_[i], to_float(corner_[i][e]), value);
      chunk[e] = from_float<T>(value);
    }
    const auto thread = static_cast<int>(threadIdx.x);
    store_vec(reinterpret_cast<T*>(tile + tile_offset(thread >> 2, thread & 3)), chunk);
  }

 private:
  // Where tap and offset group `sample` of the row falls: corners as elements from the image's start, or -1.
  __device__ __forceinline__ void place(int sample) {
    sample_ = sample;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      at_[i] = -1;
      weight_[i] = 0.0f;
    }
    const float* offset = offsets_.offset + static_cast<int64_t>(row_) * offsets_.offset_stride + 2 * sample;
    const float y = static_cast<float>(y_ + cursor_.tap_y * phase_.y.step) + offset[0];
    const float x = static_cast<float>(x_ + cursor_.tap_x * phase_.x.step) + offset[1];
    // NaN fails this test, and what passes it converts to integers safely.
    const bool near =
        y > -1.0f && x > -1.0f && y < static_cast<float>(problem_.height) && x < static_cast<float>(problem_.width);
    if (!near) return;
    float mask = 1.0f;
    if (offsets_.mask) {
      mask = offsets_.mask[static_cast<int64_t>(row_) * offsets_.mask_stride + sample];
      if (offsets_.sigmoid) mask = activate(Activation::sigmoid, mask);
    }
    const float floor_y = floorf(y);
    const float floor_x = floorf(x);
    const float below = y - floor_y;
    const float right = x - floor_x;
    const auto top = static_cast<int>(floor_y);
    const auto left = static_cast<int>(floor_x);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int corner_y = top + i / 2;
      const int corner_x = left + i % 2;
      if (corner_y < 0 || corner_y >= problem_.height || corner_x < 0 || corner_x >= problem_.width) continue;
      at_[i] = (corner_y * problem_.width + corner_x) * problem_.channels;
      weight_[i] = (i / 2 ? below : 1.0f - below) * (i % 2 ? right : 1.0f - right) * mask;
    }
  }

  const GemmProblem& problem_;
  const GemmPhase& phase_;
  const DeformOffsets& offsets_;
  const T* image_;
  TapCursor cursor_;
  int row_;
  int first_channel_;
  int y_;
  int x_;
  int sample_ = -1;
  int at_[4] = {-1, -1, -1, -1};
  float weight_[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  Chunk<T> corner_[4];
};

}  // namespace instaseg::cuda
