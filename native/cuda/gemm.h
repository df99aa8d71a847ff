// The matrix product under convolution, transposed convolution and linear: what a launch computes (GemmProblem), how
// weights are packed for it, and which tile and split of k it takes. The kernels are in gemm_mma.h; gemm_<dtype>.cu
// hold their instances.
//
// Rows are cells of a grid of output pixels, columns the output channels of a group, and k runs over taps and, within a
// tap, over input channels (implicit GEMM over NHWC). A convolution has one grid. A transposed one has a grid for each
// position of its stride (phase), whose cells it stores with the stride: a pixel shuffle. Linear is a 1x1 convolution
// over images of one pixel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "cuda/epilogue.h"
#include "cuda/launch.h"

namespace instaseg::cuda {

/// Bytes of k in a tile, of any type: four chunks of 16 bytes.
inline constexpr int kTileBytes = 64;
/// Columns of packed weights are a multiple of this.
inline constexpr int kColumnAlignment = 32;
inline constexpr int kMaxPhases = 16;

/// Bytes from the start of a tile, [rows][64 bytes of k] as four chunks of 16 bytes, to a chunk. Chunks are exchanged
/// so that eight rows of the same chunk, as ldmatrix reads them, and eight chunks of two rows, as they are stored, each
/// cover all banks once. The pattern repeats after eight rows.
__host__ __device__ constexpr int tile_offset(int row, int chunk) {
  return row * kTileBytes + ((chunk ^ ((row >> 1) & 3)) << 4);
}

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Arithmetic of a product. `simt` is IEEE f32 multiply-adds in ascending order of k whatever the storage type; `mma`
/// is the tensor cores' product of f16 or bf16, `mma_sm75` the same without tiles that need more than the 64 KiB of
/// shared memory of sm_75; `tf32x3` splits f32 into two TF32 halves and takes three products; `tf32` rounds f32 to TF32
/// (10 bits of mantissa); `wgmma` is `mma` by the warpgroup products of sm_90a.
enum class GemmMath { simt, mma, mma_sm75, tf32x3, tf32, wgmma };

/// Input positions of the taps of an axis: cell * stride + first + tap * step.
struct TapAxis {
  int count = 1;
  int first = 0;
  int step = 1;
};

struct GemmPhase {
  TapAxis y;
  TapAxis x;
  /// Cell (gy, gx) is output pixel (origin_y + gy * step_y, origin_x + gx * step_x).
  int origin_y = 0;
  int origin_x = 0;
  /// Cells of an image, and of one of its rows.
  IndexDivider cells;
  IndexDivider width;
  /// Cells of all images.
  int rows = 0;
  int k_tiles = 0;
  /// Bytes from the start of the packed weights to group 0 of this phase.
  int64_t weights = 0;
};

/// The argument of a kernel.
struct GemmProblem {
  const void* input = nullptr;    // [images, height, width, channels]
  const void* weights = nullptr;  // [phase][group][k tile][padded_columns][64 bytes of k], by tile_offset
  void* output = nullptr;         // [images, output_height, output_width, output_channels]
  /// f32 [split][output pixel][output_channels] of a split product.
  float* partial = nullptr;
  Epilogue epilogue;
  CountedImages images;
  int64_t image_elements = 0;
  int height = 1;
  int width = 1;
  int channels = 1;
  int group_channels = 1;
  int stride_y = 1;
  int stride_x = 1;
  int group_columns = 1;
  int padded_columns = kColumnAlignment;
  int groups = 1;
  int splits = 1;
  int phases = 1;
  /// Output pixels are the cells in their order: one phase, no gaps.
  bool dense = true;
  int output_height = 1;
  int output_width = 1;
  int step_y = 1;
  int step_x = 1;
  int output_channels = 1;
  /// Of all images.
  int64_t output_pixels = 0;
  GemmPhase phase[kMaxPhases];

  __host__ __device__ int64_t group_weight_bytes(int phase_index) const {
    return int64_t{kTileBytes} * phase[phase_index].k_tiles * padded_columns;
  }
};

/// Rows and columns of a block's tile.
struct GemmTile {
  int rows;
  int columns;
  friend bool operator==(GemmTile, GemmTile) = default;
};

/// Which tile, and into how many parts k is split.
struct GemmPlan {
  GemmTile tile;
  int splits;
};

/// What the choice of a plan may look at: one image (or, with counts, the capacity of one image).
struct GemmExtent {
  /// Cells of the largest phase.
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t k_tiles = 0;
  /// Phases times groups.
  int64_t products = 1;
};

/// Whether input rows can be read in whole chunks of 16 bytes.
bool aligned_channels(DType dtype, int64_t channels, int64_t group_channels);

/// What a tile of k costs, in clocks of one multiprocessor: `busy` when blocks enough share it to hide latencies, and
/// `alone` as the least time from one tile of k to the next within a block.
struct TileCost {
  GemmTile tile;
  int64_t busy;
  int64_t alone;
  int64_t resident;  // blocks of a multiprocessor
};

/// The tile of `costs` and the split of k with the least estimated time.
GemmPlan choose_plan(std::span<const TileCost> costs, const GemmExtent& extent);

/// The same among the tiles that run_gemm has.
GemmPlan choose_plan(GemmMath math, bool aligned, const GemmExtent& extent);

/// Launches the product with a tile that choose_plan gave; a split one leaves partial sums.
void run_gemm(DType dtype, GemmMath math, GemmTile tile, const GemmProblem& problem, const KernelContext& context);

/// Adds the partial sums of a split product and applies the epilogue.
void reduce_splits(DType dtype, const GemmProblem& problem, const KernelContext& context);

// The instances for one type; see run_gemm.
void run_gemm_f32(GemmMath math, GemmTile tile, bool aligned, const GemmProblem& problem, const KernelContext& context);
void run_gemm_f16(GemmMath math, GemmTile tile, bool aligned, const GemmProblem& problem, const KernelContext& context);
void run_gemm_bf16(GemmMath math, GemmTile tile, bool aligned, const GemmProblem& problem,
                   const KernelContext& context);

void run_gemm_wgmma(DType dtype, GemmTile tile, const GemmProblem& problem, const KernelContext& context);

}  // namespace instaseg::cuda
