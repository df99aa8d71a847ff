// The rows of a convolution's matrix product, gathered from an NHWC tensor into a tile in shared memory: for each
// output pixel and each tap a run of channels, or zeros where the tap falls outside the image.
//
// A tile is [rows][64 bytes of k] as four chunks of 16 bytes, exchanged by tile_offset so that neither the stores nor
// ldmatrix meet bank conflicts. A thread fills one chunk column of several rows, so that its position in k (tap and
// channel) is one for all of them and moves forward from tile to tile without division.
#pragma once

#include "cuda/gemm.h"
#include "cuda/mma.h"

namespace instaseg::cuda {

/// Position in k of one element: tap and channel. Past the last tap `inside` is false.
struct TapCursor {
  int channel;
  int tap_y;
  int tap_x;

  __device__ __forceinline__ void seek(const GemmProblem& problem, const GemmPhase& phase, int k) {
    const int tap = k / problem.group_channels;
    channel = k - tap * problem.group_channels;
    tap_y = tap / phase.x.count;
    tap_x = tap - tap_y * phase.x.count;
  }
  __device__ __forceinline__ void advance(const GemmProblem& problem, const GemmPhase& phase, int elements) {
    channel += elements;
    while (channel >= problem.group_channels) {
      channel -= problem.group_channels;
      if (++tap_x == phase.x.count) {
        tap_x = 0;
        ++tap_y;
      }
    }
  }
  __device__ __forceinline__ bool inside(const GemmPhase& phase) const { return tap_y < phase.y.count; }
};

/// `Aligned`: channels and channels of a group are multiples of a chunk; chunks then go straight to shared memory
/// (cp.async). Otherwise elements are read one by one into registers by `fetch` and stored by `store`.
template <class T, int Rows, int Threads, bool Aligned>
class ConvGather {
  static_assert(Rows * 4 % Threads == 0);
  static constexpr int kRows = Rows * 4 / Threads;  // of a thread
  static constexpr int kRowStep = Threads / 4;

 public:
  static constexpr int kTileElements = kTileBytes / static_cast<int>(sizeof(T));
  static constexpr bool kManyRegisters = false;
  struct Arguments {};

  /// For rows [first_row, first_row + Rows) and k from tile `k_tile` on.
  __device__ __forceinline__ ConvGather(const GemmProblem& problem, const GemmPhase& phase, const Arguments&, int group,
                                        int first_row, int k_tile)
      : problem_(problem), phase_(phase), input_(static_cast<const T*>(problem.input)) {
    const int chunk = static_cast<int>(threadIdx.x) & 3;
    cursor_.seek(problem, phase, k_tile * kTileElements + chunk * kChunk<T>);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int row = first_row + row_of(i);
      y_[i] = kNowhere;
      x_[i] = 0;
      origin_[i] = 0;
      if (row >= phase.rows) continue;
      const int image = phase.cells.quotient(row);
      if (!problem.images.valid(image)) continue;
      const int cell = row - image * phase.cells.divisor();
      const int cell_y = phase.width.quotient(cell);
      y_[i] = cell_y * problem.stride_y + phase.y.first;
      x_[i] = (cell - cell_y * phase.width.divisor()) * problem.stride_x + phase.x.first;
      origin_[i] = image * problem.image_elements + group * problem.group_channels +
                   (static_cast<int64_t>(y_[i]) * problem.width + x_[i]) * problem.channels;
    }
  }

  /// Begins to load the next tile of k.
  __device__ __forceinline__ void fetch(char* tile) {
    if constexpr (Aligned) {
      const bool inside = cursor_.inside(phase_);
      const int dy = cursor_.tap_y * phase_.y.step;
      const int dx = cursor_.tap_x * phase_.x.step;
      const int offset = (dy * problem_.width + dx) * problem_.channels + cursor_.channel;
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const bool valid = inside && reaches(i, dy, dx);
        cp_async16(tile + chunk_offset(i), valid ? input_ + (origin_[i] + offset) : input_, valid);
      }
      cursor_.advance(problem_, phase_, kTileElements);
    } else {
      TapCursor cursor = cursor_;
#pragma unroll
      for (int e = 0; e < kChunk<T>; ++e) {
        const bool inside = cursor.inside(phase_);
        const int dy = cursor.tap_y * phase_.y.step;
        const int dx = cursor.tap_x * phase_.x.step;
        const int offset = (dy * problem_.width + dx) * problem_.channels + cursor.channel;
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          const bool valid = inside && reaches(i, dy, dx);
          held_[i][e] = valid ? input_[origin_[i] + offset] : from_float<T>(0.0f);
        }
        cursor.advance(problem_, phase_, 1);
      }
      cursor_.advance(problem_, phase_, kTileElements);
    }
  }

  /// Ends what `fetch` began, as far as the thread has to do it; asynchronous copies are waited for by their group.
  __device__ __forceinline__ void store(char* tile) {
    if constexpr (!Aligned) {
#pragma unroll
      for (int i = 0; i < kRows; ++i) store_vec(reinterpret_cast<T*>(tile + chunk_offset(i)), held_[i]);
    }
  }

 private:
  // Far enough below 0 for every tap of the row to miss the image.
  static constexpr int kNowhere = -(1 << 30);

  __device__ __forceinline__ int row_of(int i) const { return (static_cast<int>(threadIdx.x) >> 2) + i * kRowStep; }
  __device__ __forceinline__ int chunk_offset(int i) const {
    return tile_offset(row_of(i), static_cast<int>(threadIdx.x) & 3);
  }
  __device__ __forceinline__ bool reaches(int i, int dy, int dx) const {
    return static_cast<unsigned>(y_[i] + dy) < static_cast<unsigned>(problem_.height) &&
           static_cast<unsigned>(x_[i] + dx) < static_cast<unsigned>(problem_.width);
  }

  const GemmProblem& problem_;
  const GemmPhase& phase_;
  const T* input_;
  TapCursor cursor_;
  int64_t origin_[kRows];
  int y_[kRows];
  int x_[kRows];
  Chunk<T> held_[Aligned ? 1 : kRows];
};

}  // namespace instaseg::cuda
