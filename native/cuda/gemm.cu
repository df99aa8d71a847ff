// What the matrix products of all types share: the choice of tile and split, and the reduction of a split product.
//
// A split product writes f32 partial sums [split][output pixel][channel] to the workspace; a second kernel adds them in
// ascending order of the split and applies the epilogue. Blocks that wait for each other could save that launch, but
// would need counters that somebody zeroes, and an order that does not depend on who comes last is needed anyway.
#include "cuda/gemm.h"

#include <string_view>

#include "cuda/architectures.h"
#include "cuda/gemm_instances.h"

namespace instaseg::cuda {
namespace {

// Multiprocessors that the choice of a plan assumes, whatever the device has, so that results are the same on all: an
// H100 or H200 has 132, an A100 108, an RTX 4090 128.
constexpr int64_t kMultiprocessors = 132;

// Estimates for 16-bit types: the largest of the arithmetic (mma.sync at about 60 % of 1024 f16 multiply-adds a clock
// and quarter of an H100) and the tile's bytes at 32 a clock from L2, which keeps the smaller ones busier than
// arithmetic.
constexpr TileCost kTileCosts[] = {
    {Tile128x256::kTile, 840, 860, 1}, {Tile128x128::kTile, 512, 540, 2}, {Tile128x64::kTile, 384, 420, 3},
    {Tile64x64::kTile, 256, 330, 5},   {Tile128x32::kTile, 320, 380, 4},
};
// wgmma reads operands from shared memory once for 64 rows.
constexpr TileCost kWgmmaCosts[] = {{Tile128x256::kTile, 770, 800, 1}, {Tile128x128::kTile, 512, 540, 2}};
// Fixed clocks: filling the ring and storing the tile; the launch of the reduction.
constexpr int64_t kBlockClocks = 1500;
constexpr int64_t kReduceClocks = 2500;
// Bytes of partial sums that all multiprocessors move in a clock.
constexpr int64_t kPartialBytesPerClock = 2000;
constexpr int64_t kSplits[] = {1, 2, 3, 4, 6, 8, 12, 16};
// Tiles of k that a split should have at least: fewer do not fill the ring.
constexpr int64_t kLeastSplitTiles = 4;

template <class... Tiles>
bool contains(TileList<Tiles...>, GemmTile tile) {
  return ((Tiles::kTile == tile) || ...);
}

bool has_tile(GemmMath math, bool aligned, GemmTile tile) {
  if (!aligned) return contains(TilesOf<GemmMath::mma, false>::Type{}, tile);
  if (math == GemmMath::mma) return contains(TilesOf<GemmMath::mma, true>::Type{}, tile);
  return contains(TilesOf<GemmMath::simt, true>::Type{}, tile);
}

// Arithmetic of a tile of k relative to `mma`: 16 values of f32 in place of 32 of 16 bits.
int64_t relative_clocks(GemmMath math) {
  switch (math) {
    case GemmMath::mma:
    case GemmMath::mma_sm75:
    case GemmMath::wgmma:
    case GemmMath::tf32:
      return 1;
    case GemmMath::tf32x3:
      return 3;
    case GemmMath::simt:
      return 6;
  }
  return 1;
}

template <class T, int Size>
__global__ void __launch_bounds__(256, 4) reduce_kernel(const GemmProblem problem) {
  const int64_t vectors = problem.output_pixels * problem.output_channels / Size;
  const int64_t elements = problem.output_pixels * problem.output_channels;
  const int64_t image_elements =
      static_cast<int64_t>(problem.output_height) * problem.output_width * problem.output_channels;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < vectors; i += step) {
    const int64_t at = i * Size;
    if (problem.images.counts && !problem.images.valid(static_cast<int>(at / image_elements))) continue;
    float sum[Size];
#pragma unroll
    for (int j = 0; j < Size; ++j) sum[j] = problem.partial[at + j];
    for (int split = 1; split < problem.splits; ++split) {
      const Vec<float, Size> part = load_vec<Size>(problem.partial + split * elements + at);
#pragma unroll
      for (int j = 0; j < Size; ++j) sum[j] += part[j];
    }
    const auto channel = static_cast<int>(at % problem.output_channels);
    const EpilogueColumns<T, Size> epilogue(problem.epilogue, channel, Size);
    epilogue.store(static_cast<T*>(problem.output), at - channel, sum, true);
  }
}

template <class T>
void reduce(const GemmProblem& problem, const KernelContext& context) {
  constexpr int kThreads = 256;
  const int64_t elements = problem.output_pixels * problem.output_channels;
  if (problem.output_channels % 4 == 0) {
    launch(context, {.grid = dim3(blocks_for(elements / 4, kThreads)), .block = dim3(kThreads)}, reduce_kernel<T, 4>,
           problem);
  } else {
    launch(context, {.grid = dim3(blocks_for(elements, kThreads)), .block = dim3(kThreads)}, reduce_kernel<T, 1>,
           problem);
  }
}

}  // namespace

bool aligned_channels(DType dtype, int64_t channels, int64_t group_channels) {
  const int64_t chunk = 16 / static_cast<int64_t>(size_of(dtype));
  return channels % chunk == 0 && group_channels % chunk == 0;
}

// It looks at one image, never at the batch or the counts, so that the order of additions depends on nothing else.
GemmPlan choose_plan(std::span<const TileCost> costs, const GemmExtent& extent) {
  GemmPlan best{costs.front().tile, 1};
  int64_t best_clocks = INT64_MAX;
  for (const TileCost& cost : costs) {
    const int64_t tiles =
        divide_up(extent.rows, cost.tile.rows) * divide_up(extent.columns, cost.tile.columns) * extent.products;
    for (const int64_t splits : kSplits) {
      if (splits > 1 && extent.k_tiles < splits * kLeastSplitTiles) break;
      const int64_t blocks = divide_up(tiles * splits, kMultiprocessors);  // of the busiest multiprocessor
      const int64_t rounds = divide_up(blocks, cost.resident);
      const int64_t k_tile_clocks = std::max(blocks * cost.busy, rounds * cost.alone);
      int64_t clocks = divide_up(extent.k_tiles, splits) * k_tile_clocks + rounds * kBlockClocks;
      if (splits > 1) {
        const int64_t partial_bytes = 2 * 4 * splits * extent.rows * extent.columns * extent.products;
        clocks += kReduceClocks + partial_bytes / kPartialBytesPerClock;
      }
      if (clocks < best_clocks) {
        best_clocks = clocks;
        best = {cost.tile, static_cast<int>(splits)};
      }
    }
  }
  return best;
}

GemmPlan choose_plan(GemmMath math, bool aligned, const GemmExtent& extent) {
  if (math == GemmMath::wgmma) return choose_plan(kWgmmaCosts, extent);
  std::vector<TileCost> costs;
  const int64_t relative = relative_clocks(math);
  for (TileCost cost : kTileCosts) {
    if (!has_tile(math, aligned, cost.tile)) continue;
    cost.busy *= relative;
    cost.alone = std::max(cost.alone, cost.busy);
    costs.push_back(cost);
  }
  return choose_plan(costs, extent);
}

void run_gemm(DType dtype, GemmMath math, GemmTile tile, const GemmProblem& problem, const KernelContext& context) {
  const bool aligned = aligned_channels(dtype, problem.channels, problem.group_channels);
  if (math == GemmMath::wgmma) {
    // Other devices would find a kernel without code.
    const bool compiled = std::string_view(compiled_architectures()).find("90a") != std::string_view::npos;
    require(compiled && context.backend->compute_capability() == 90, ErrorCode::unsupported,
            "the variant wgmma needs a GPU of compute capability 9.0 and a build for sm_90a");
    run_gemm_wgmma(dtype, tile, problem, context);
  } else if (dtype == DType::f16) {
    run_gemm_f16(math, tile, aligned, problem, context);
  } else if (dtype == DType::bf16) {
    run_gemm_bf16(math, tile, aligned, problem, context);
  } else {
    run_gemm_f32(math, tile, aligned, problem, context);
  }
}

void reduce_splits(DType dtype, const GemmProblem& problem, const KernelContext& context) {
  if (problem.splits == 1) return;
  with_float_type(dtype, [&]<class T>() { reduce<T>(problem, context); });
}

}  // namespace instaseg::cuda
