// The tiles that exist for each arithmetic, as lists that the choice of a plan reads and gemm_<dtype>.cu instantiate.
//
//   128x256  most arithmetic a byte loaded; only pays where there are blocks enough for every multiprocessor
//   128x128  the same with two blocks a multiprocessor
//   128x64   64 output channels
//   64x64    small images, and channels that have to be gathered one by one
//   128x32   few output channels (offsets of deformable convolutions, narrow groups, heads)
#pragma once

#include "cuda/gemm_mma.h"

namespace instaseg::cuda {

using Tile128x256 = TileShape<128, 256, 64, 64, 4, 1>;
using Tile128x128 = TileShape<128, 128, 64, 32, 4, 2>;
using Tile128x64 = TileShape<128, 64, 32, 32, 4, 2>;
using Tile64x64 = TileShape<64, 64, 32, 32, 4, 3>;
using Tile128x32 = TileShape<128, 32, 16, 32, 4, 2>;

template <class... Tiles>
struct TileList {};

template <GemmMath Math, bool Aligned>
struct TilesOf {
  using Type = TileList<Tile128x128, Tile128x64, Tile64x64, Tile128x32>;
};
template <>
struct TilesOf<GemmMath::mma, true> {
  using Type = TileList<Tile128x256, Tile128x128, Tile128x64, Tile64x64, Tile128x32>;
};
template <GemmMath Math>
struct TilesOf<Math, false> {
  using Type = TileList<Tile64x64, Tile128x32>;
};

/// Launches the instance of `tile`, which is one of the list.
template <class Math, bool Aligned, class... Tiles>
void launch_tile(TileList<Tiles...>, GemmTile tile, const GemmProblem& problem, const KernelContext& context) {
  const auto launch_if = [&]<class Tile>() {
    if (Tile::kTile != tile) return false;
    launch_gemm<Math, Tile, ConvGather<typename Math::Storage, Tile::kRows, Tile::kThreads, Aligned>>(problem, {},
                                                                                                      context);
    return true;
  };
  (launch_if.template operator()<Tiles>() || ...);
}

template <GemmMath Kind, class Math>
void launch_math(GemmTile tile, bool aligned, const GemmProblem& problem, const KernelContext& context) {
  if (aligned) {
    launch_tile<Math, true>(typename TilesOf<Kind, true>::Type{}, tile, problem, context);
  } else {
    launch_tile<Math, false>(typename TilesOf<Kind, false>::Type{}, tile, problem, context);
  }
}

}  // namespace instaseg::cuda
