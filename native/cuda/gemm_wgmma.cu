// The matrix product of f16 and bf16 by wgmma and TMA, for sm_90a: the same gathered rows, packed weights, tiles in
// shared memory and epilogue as gemm_mma.h, its sibling that runs everywhere and under the emulator. What differs is
// the arithmetic, in which warpgroups of four warps multiply straight from shared memory while the next tiles come, and
// how weights come: packed as shared memory wants them, a tile of them is one bulk copy, for which no thread but the
// first does anything. Rows are gathered pixel by pixel with cp.async, as padding, strides, dilation and counts ask.
//
// The variant is chosen by name only until it has been run on such a GPU; see conv2d.cu.
#include "cuda/bulk_copy.h"
#include "cuda/gemm_instances.h"
#include "cuda/wgmma.h"

namespace instaseg::cuda {

template <class T>
struct WgmmaMath {
  using Storage = T;
};

/// Sums alone: products are of whole warpgroups.
template <class T, class Tile>
class GemmAccumulator<WgmmaMath<T>, Tile> : public GemmSums<Tile> {};

namespace {

// Five stages: the stage that a tile of k leaves is filled two tiles later, so that its products may still be under
// way.
using Wgmma128x256 = TileShape<128, 256, 16, 256, 5, 1>;
using Wgmma128x128 = TileShape<128, 128, 16, 128, 5, 2>;
static_assert(Wgmma128x256::kTile == Tile128x256::kTile && Wgmma128x128::kTile == Tile128x128::kTile);
constexpr int kSharedAlignment = 1024;
template <class Tile>
constexpr int kWgmmaSharedBytes = Tile::kSharedBytes + kSharedAlignment + Tile::kStages * 8;

template <class T, class Tile, class Gather>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kResident)
    wgmma_kernel([[maybe_unused]] const GemmProblem problem) {
#if INSTASEG_WGMMA
  INSTASEG_DYNAMIC_SHARED(char, unaligned);
  // The exchange of chunks by the hardware goes by addresses.
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(unaligned));
  char* const shared = unaligned + ((kSharedAlignment - address % kSharedAlignment) % kSharedAlignment);
  BlockPlace<Tile> place(problem);
  if (!place.any_row(problem)) return;
  // Past the ring, which the epilogue writes over.
  auto* const arrived = reinterpret_cast<CopyBarrier*>(shared + Tile::kSharedBytes);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Tile::kStages; ++stage) init_copy_barrier(arrived + stage);
    fence_copy_barriers();
  }
  __syncthreads();
  const GemmPhase& phase = problem.phase[place.phase];
  Gather gather(problem, phase, {}, place.group, place.first_row, place.first_tile);
  constexpr int kAhead = Tile::kStages - 2;
  // Columns past the packed ones hold anything: their sums are not stored.
  const int columns = min(Tile::kColumns, problem.padded_columns - place.first_column);
  const auto fetch = [&](int tile, int stage) {
    char* base = shared + stage * Tile::kStageBytes;
    if (tile < place.tiles) {
      gather.fetch(base);
      if (threadIdx.x == 0) {
        bulk_copy(base + Tile::kRowBytes, place.weights, columns * kTileBytes, arrived + stage);
      }
      place.weights += place.weight_step;
    }
    cp_async_commit();
  };
  for (int stage = 0; stage < kAhead; ++stage) fetch(stage, stage);

  GemmAccumulator<WgmmaMath<T>, Tile> accumulator;
  const int warpgroup_row = static_cast<int>(threadIdx.x) / 128 * 64;
  int stage = 0;
  int next_stage = kAhead;
  uint32_t parity = 0;
  for (int tile = 0; tile < place.tiles; ++tile) {
    cp_async_wait<kAhead - 1>();
    fence_async_proxy();
    wait_for_copy(arrived + stage, parity);
    // The tile is there for all, and the products of the tile before last, whose stage is filled next, are complete.
    __syncthreads();
    const char* rows = shared + stage * Tile::kStageBytes + warpgroup_row * kTileBytes;
    const char* weights = shared + stage * Tile::kStageBytes + Tile::kRowBytes;
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const uint64_t a = tile_descriptor(rows + step * 32);
#pragma unroll
      for (int n = 0; n < Tile::kAcross; n += 16) {
        wgmma_m64n128k16(accumulator.sum[0] + n, a, tile_descriptor(weights + n * 8 * kTileBytes + step * 32), T{});
      }
    }
    wgmma_commit();
    fetch(tile + kAhead, next_stage);
    wgmma_wait<1>();
    stage = stage + 1 == Tile::kStages ? 0 : stage + 1;
    if (stage == 0) parity ^= 1;
    next_stage = next_stage + 1 == Tile::kStages ? 0 : next_stage + 1;
  }
  wgmma_wait<0>();
  // The sums are read only from here on.
#pragma unroll
  for (int n = 0; n < Tile::kAcross; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(accumulator.sum[0][n][i]) : : "memory");
  }
  cp_async_wait<0>();
  __syncthreads();  // the epilogue writes over the ring
  store_tile<WgmmaMath<T>, Tile>(problem, phase, accumulator, shared, place.first_row, place.first_column, place.group,
                                 place.split);
#endif
}

template <class T, class Tile>
void launch_wgmma(const GemmProblem& problem, const KernelContext& context) {
  launch(context,
         {.grid = grid_of<Tile>(problem), .block = dim3(Tile::kThreads), .shared_bytes = kWgmmaSharedBytes<Tile>},
         wgmma_kernel<T, Tile, ConvGather<T, Tile::kRows, Tile::kThreads, true>>, problem);
}

}  // namespace

void run_gemm_wgmma(DType dtype, GemmTile tile, const GemmProblem& problem, const KernelContext& context) {
  const auto run = [&]<class T>() {
    if (tile == Wgmma128x256::kTile) {
      launch_wgmma<T, Wgmma128x256>(problem, context);
    } else {
      launch_wgmma<T, Wgmma128x128>(problem, context);
    }
  };
  dtype == DType::f16 ? run.template operator()<f16>() : run.template operator()<bf16>();
}

}  // namespace instaseg::cuda
