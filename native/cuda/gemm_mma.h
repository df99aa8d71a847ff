// The matrix product as a kernel: a tile of rows and columns a block, a ring of tiles of k in shared memory filled
// ahead of the arithmetic (cp.async), fragments by ldmatrix, and an epilogue that goes through shared memory so that
// global memory sees whole runs of channels.
//
// What is common to all types is counted in bytes: 64 bytes of k are one tile, 32 bytes one step, which is k16 of f16
// and bf16 and k8 of TF32. ldmatrix then gives the fragments of either (PTX ISA, "Matrix fragments for mma.m16n8k16"
// and
// "... mma.m16n8k8"): thread (group g = lane / 4, t = lane % 4) holds rows g and g + 8, columns 2t and 2t + 1 of a 16x8
// product.
#pragma once

#include "cuda/conv_gather.h"

namespace instaseg::cuda {

/// A product of 16x8 over one step. `kLeastArch`: what the instructions need, as __CUDA_ARCH__ counts.
template <class T>
struct MmaMath {
  using Storage = T;
  static constexpr int kLeastArch = std::is_same_v<T, f16> ? 750 : 800;
  static constexpr bool kManyOperands = false;
  struct A {
    uint32_t r[4];
  };
  struct B {
    uint32_t r[2];
  };
  static __device__ __forceinline__ A a(const uint32_t (&r)[4]) { return {{r[0], r[1], r[2], r[3]}}; }
  static __device__ __forceinline__ B b(uint32_t r0, uint32_t r1) { return {{r0, r1}}; }
  static __device__ __forceinline__ void multiply(float (&sum)[4], const A& a, const B& b) {
    mma_m16n8k16(sum, a.r, b.r, T{});
  }
};

/// f32 rounded to TF32; weights are rounded when they are packed.
struct Tf32Math {
  using Storage = float;
  static constexpr int kLeastArch = 800;
  static constexpr bool kManyOperands = false;
  struct A {
    uint32_t r[4];
  };
  struct B {
    uint32_t r[2];
  };
  static __device__ __forceinline__ A a(const uint32_t (&r)[4]) {
    A result;
#pragma unroll
    for (int i = 0; i < 4; ++i) result.r[i] = to_tf32(__uint_as_float(r[i]));
    return result;
  }
  static __device__ __forceinline__ B b(uint32_t r0, uint32_t r1) { return {{r0, r1}}; }
  static __device__ __forceinline__ void multiply(float (&sum)[4], const A& a, const B& b) {
    mma_m16n8k8_tf32(sum, a.r, b.r);
  }
};

/// f32 as a sum of two TF32 numbers (21 bits of mantissa and a sign): high * high + high * low + low * high leaves out
/// 2^-22 of a product. Tensor cores round their sums towards zero, which would add up over k, so each step is summed
/// from zero and added to the total by an ordinary addition (Ootomo and Yokota, "Recovering single precision accuracy
/// from Tensor Cores while surpassing the FP32 theoretical peak performance", 2022).
struct Tf32x3Math {
  using Storage = float;
  static constexpr int kLeastArch = 800;
  static constexpr bool kManyOperands = true;
  struct A {
    uint32_t high[4];
    uint32_t low[4];
    // `high`, but 0 where it is not finite: infinity times the low half of a weight, often 0, must not be taken.
    uint32_t finite[4];
  };
  struct B {
    uint32_t high[2];
    uint32_t low[2];
  };
  static __device__ __forceinline__ A a(const uint32_t (&r)[4]) {
    A result;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float value = __uint_as_float(r[i]);
      result.high[i] = to_tf32(value);
      const bool finite = (result.high[i] & 0x7f800000u) != 0x7f800000u;
      result.low[i] = finite ? to_tf32(value - __uint_as_float(result.high[i])) : 0u;
      result.finite[i] = finite ? result.high[i] : 0u;
    }
    return result;
  }
  static __device__ __forceinline__ B b(uint32_t r0, uint32_t r1) {
    B result;
    result.high[0] = to_tf32(__uint_as_float(r0));
    result.high[1] = to_tf32(__uint_as_float(r1));
    result.low[0] = to_tf32(__uint_as_float(r0) - __uint_as_float(result.high[0]));
    result.low[1] = to_tf32(__uint_as_float(r1) - __uint_as_float(result.high[1]));
    return result;
  }
  static __device__ __forceinline__ void multiply(float (&sum)[4], const A& a, const B& b) {
    float step[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    mma_m16n8k8_tf32(step, a.low, b.high);
    mma_m16n8k8_tf32(step, a.finite, b.low);
    mma_m16n8k8_tf32(step, a.high, b.high);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[i] += step[i];
  }
};

/// IEEE f32 multiply-adds in ascending k. Threads own the same elements as in the products of tensor cores.
template <class T>
struct SimtMath {
  using Storage = T;
  static constexpr int kLeastArch = 0;
  static constexpr bool kManyOperands = true;
};

/// A block's tile, and how its warps share it. `Resident`: blocks that a multiprocessor should have registers for.
template <int Rows, int Columns, int WarpRows, int WarpColumns, int Stages, int Resident>
struct TileShape {
  static constexpr int kRows = Rows;
  static constexpr int kColumns = Columns;
  static constexpr int kWarpRows = WarpRows;
  static constexpr int kWarpColumns = WarpColumns;
  static constexpr int kStages = Stages;
  static constexpr int kResident = Resident;
  static constexpr int kWarpsAcross = Columns / WarpColumns;
  static constexpr int kWarps = Rows / WarpRows * kWarpsAcross;
  static constexpr int kThreads = 32 * kWarps;
  // Products of 16x8 of a warp.
  static constexpr int kDown = WarpRows / 16;
  static constexpr int kAcross = WarpColumns / 8;
  static constexpr int kRowBytes = Rows * kTileBytes;
  static constexpr int kStageBytes = (Rows + Columns) * kTileBytes;
  // The epilogue's f32 rows, padded so that the eight rows of a fragment start in different banks.
  static constexpr int kStagingStride = WarpColumns + 8;
  static constexpr int kStagingBytes = kWarps * 16 * kStagingStride * static_cast<int>(sizeof(float));
  static constexpr int kSharedBytes = std::max(Stages * kStageBytes, kStagingBytes);
  static constexpr GemmTile kTile{Rows, Columns};
};

/// A warp's sums, from zero.
template <class Tile>
struct GemmSums {
  __device__ __forceinline__ GemmSums() {
#pragma unroll
    for (int m = 0; m < Tile::kDown; ++m) {
#pragma unroll
      for (int n = 0; n < Tile::kAcross; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[m][n][i] = 0.0f;
      }
    }
  }

  float sum[Tile::kDown][Tile::kAcross][4];
};

template <class Math, class Tile>
class GemmAccumulator : public GemmSums<Tile> {
  static constexpr int kDown = Tile::kDown;
  static constexpr int kAcross = Tile::kAcross;

 public:
  /// Adds the product of one tile of k; `rows` and `columns` are the warp's first row in either tile.
  __device__ __forceinline__ void add(const char* row_tile, int rows, const char* column_tile, int columns) {
    const int lane = static_cast<int>(threadIdx.x) & 31;
#pragma unroll(Math::kManyOperands ? 1 : 2)
    for (int step = 0; step < 2; ++step) {
      typename Math::B b[kAcross];
#pragma unroll
      for (int n = 0; n < kAcross; n += 2) {
        uint32_t r[4];
        const int column = columns + n * 8 + (lane & 7) + ((lane >> 4) << 3);
        ldmatrix_x4(r, column_tile + tile_offset(column, step * 2 + ((lane >> 3) & 1)));
        b[n] = Math::b(r[0], r[1]);
        b[n + 1] = Math::b(r[2], r[3]);
      }
#pragma unroll
      for (int m = 0; m < kDown; ++m) {
        uint32_t r[4];
        ldmatrix_x4(r, row_tile + tile_offset(rows + m * 16 + (lane & 15), step * 2 + (lane >> 4)));
        const typename Math::A a = Math::a(r);
#pragma unroll
        for (int n = 0; n < kAcross; ++n) Math::multiply(this->sum[m][n], a, b[n]);
      }
    }
  }
};

template <class T, class Tile>
class GemmAccumulator<SimtMath<T>, Tile> : public GemmSums<Tile> {
  static constexpr int kDown = Tile::kDown;
  static constexpr int kAcross = Tile::kAcross;

 public:
  __device__ __forceinline__ void add(const char* row_tile, int rows, const char* column_tile, int columns) {
    const int lane = static_cast<int>(threadIdx.x) & 31;
    const int row = rows + (lane >> 2);
    const int column = columns + (lane & 3) * 2;
#pragma unroll 1
    for (int chunk = 0; chunk < 4; ++chunk) {
      Chunk<T> a[kDown][2];
#pragma unroll
      for (int m = 0; m < kDown; ++m) {
        a[m][0] = read(row_tile, row + m * 16, chunk);
        a[m][1] = read(row_tile, row + m * 16 + 8, chunk);
      }
#pragma unroll
      for (int n = 0; n < kAcross; ++n) {
        const Chunk<T> b[2] = {read(column_tile, column + n * 8, chunk), read(column_tile, column + n * 8 + 1, chunk)};
#pragma unroll
        for (int k = 0; k < kChunk<T>; ++k) {
#pragma unroll
          for (int m = 0; m < kDown; ++m) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              float& sum = this->sum[m][n][i];
              sum = __fmaf_rn(to_float(a[m][i >> 1][k]), to_float(b[i & 1][k]), sum);
            }
          }
        }
      }
    }
  }

 private:
  static __device__ __forceinline__ Chunk<T> read(const char* tile, int row, int chunk) {
    return load_vec<kChunk<T>>(reinterpret_cast<const T*>(tile + tile_offset(row, chunk)));
  }
};

/// Begins to load a tile of packed weights, which are packed as they lie there; a thread moves chunks Threads apart.
template <int Columns, int Threads>
__device__ __forceinline__ void fetch_weights(char* tile, const char* weights, int first_column, int padded_columns) {
#pragma unroll
  for (int i = 0; i < (Columns * 4 + Threads - 1) / Threads; ++i) {
    const int index = static_cast<int>(threadIdx.x) + i * Threads;
    const int column = index >> 2;
    if (Columns * 4 % Threads != 0 && column >= Columns) break;
    const bool valid = first_column + column < padded_columns;
    cp_async16(tile + index * 16, weights + (valid ? index * 16 : 0), valid);
  }
}

/// The output pixel of a row of a phase.
__device__ __forceinline__ int64_t output_pixel(const GemmProblem& problem, const GemmPhase& phase, int row) {
  if (problem.dense) return row;
  const int image = phase.cells.quotient(row);
  const int cell = row - image * phase.cells.divisor();
  const int cell_y = phase.width.quotient(cell);
  const int cell_x = cell - cell_y * phase.width.divisor();
  return (static_cast<int64_t>(image) * problem.output_height + cell_y * problem.step_y + phase.origin_y) *
             problem.output_width +
         cell_x * problem.step_x + phase.origin_x;
}

template <class Math, class Tile>
__device__ __forceinline__ void store_tile(const GemmProblem& problem, const GemmPhase& phase,
                                           GemmAccumulator<Math, Tile>& accumulator, char* shared, int first_row,
                                           int first_column, int group, int split) {
  using T = typename Math::Storage;
  constexpr int kSize = kChunk<T>;
  constexpr int kLanes = Tile::kWarpColumns / kSize;  // that share a row
  constexpr int kRowStep = 32 / kLanes;
  constexpr int kStride = Tile::kStagingStride;
  const int lane = static_cast<int>(threadIdx.x) & 31;
  const int warp = static_cast<int>(threadIdx.x) >> 5;
  float* staging = reinterpret_cast<float*>(shared) + warp * 16 * kStride;
  const int row = first_row + warp / Tile::kWarpsAcross * Tile::kWarpRows;
  const int column = first_column + warp % Tile::kWarpsAcross * Tile::kWarpColumns + lane % kLanes * kSize;
  const int count = std::min(problem.group_columns - column, kSize);
  const bool whole = count == kSize && problem.output_channels % kSize == 0 && problem.group_columns % kSize == 0;
  const int channel = group * problem.group_columns + column;
  const bool partial = problem.splits > 1;
  const EpilogueColumns<T, kSize> epilogue(problem.epilogue, channel, partial ? 0 : count);
#pragma unroll
  for (int m = 0; m < Tile::kDown; ++m) {
#pragma unroll
    for (int n = 0; n < Tile::kAcross; ++n) {
      const float(&sum)[4] = accumulator.sum[m][n];
      float* at = staging + (lane >> 2) * kStride + n * 8 + (lane & 3) * 2;
      store_vec(at, Vec<float, 2>{{sum[0], sum[1]}});
      store_vec(at + 8 * kStride, Vec<float, 2>{{sum[2], sum[3]}});
    }
    __syncwarp();
#pragma unroll
    for (int r = 0; r < 16; r += kRowStep) {
      const int in_warp = r + lane / kLanes;
      const int at = row + m * 16 + in_warp;
      if (count <= 0 || at >= phase.rows || !problem.images.valid(phase.cells.quotient(at))) continue;
      float values[kSize];
#pragma unroll
      for (int i = 0; i < kSize; i += 4) {
        const Vec<float, 4> part = load_vec<4>(staging + in_warp * kStride + lane % kLanes * kSize + i);
#pragma unroll
        for (int j = 0; j < 4; ++j) values[i + j] = part[j];
      }
      const int64_t pixel = output_pixel(problem, phase, at);
      const int64_t start = pixel * problem.output_channels;
      if (!partial) {
        epilogue.store(static_cast<T*>(problem.output), start, values, whole);
        continue;
      }
      float* target = problem.partial + (split * problem.output_pixels + pixel) * problem.output_channels + channel;
#pragma unroll
      for (int i = 0; i < kSize; i += 4) {
        if (whole) {
          store_vec(target + i, Vec<float, 4>{{values[i], values[i + 1], values[i + 2], values[i + 3]}});
          continue;
        }
#pragma unroll
        for (int j = i; j < i + 4; ++j) {
          if (j < count) target[j] = values[j];
        }
      }
    }
    __syncwarp();
  }
}

// Arithmetic that keeps operands in many registers gets those of a second block where sums alone take 64, where
// operands come eight at a time, or where the gathering of rows takes many too.
template <class Math, class Tile, class Gather>
constexpr int resident_blocks() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  if (Tile::kSharedBytes > 32 * 1024) return 1;  // of the 64 KiB of sm_75
#endif
  const bool many = Tile::kDown * Tile::kAcross >= 16 || sizeof(typename Math::Storage) == 2 || Gather::kManyRegisters;
  return Math::kManyOperands && many ? 1 : Tile::kResident;
}

/// What a block computes. Grid: x tiles (columns fastest, so that blocks in flight share rows), y groups times phases,
/// z splits.
template <class Tile>
struct BlockPlace {
  int phase;
  int group;
  int split;
  int first_row;
  int first_column;
  /// Tiles of k.
  int first_tile;
  int tiles;
  /// Of the first tile of k and the first column.
  const char* weights;
  int64_t weight_step;

  __device__ __forceinline__ explicit BlockPlace(const GemmProblem& problem) {
    phase = static_cast<int>(blockIdx.y) / problem.groups;
    group = static_cast<int>(blockIdx.y) - phase * problem.groups;
    split = static_cast<int>(blockIdx.z);
    const int column_tiles = (problem.group_columns + Tile::kColumns - 1) / Tile::kColumns;
    const int row_tile = static_cast<int>(blockIdx.x) / column_tiles;
    first_row = row_tile * Tile::kRows;
    first_column = (static_cast<int>(blockIdx.x) - row_tile * column_tiles) * Tile::kColumns;
    const int64_t k_tiles = problem.phase[phase].k_tiles;
    first_tile = static_cast<int>(k_tiles * split / problem.splits);
    tiles = static_cast<int>(k_tiles * (split + 1) / problem.splits) - first_tile;
    weight_step = static_cast<int64_t>(problem.padded_columns) * kTileBytes;
    weights = static_cast<const char*>(problem.weights) + problem.phase[phase].weights +
              group * problem.group_weight_bytes(phase) + first_tile * weight_step +
              static_cast<int64_t>(first_column) * kTileBytes;
  }

  /// Whether there is anything to do, for all threads of the block: phases differ in size, and counts empty whole
  /// tiles.
  __device__ __forceinline__ bool any_row(const GemmProblem& problem) const {
    const GemmPhase& rows = problem.phase[phase];
    bool any = false;
    for (int row = first_row + static_cast<int>(threadIdx.x); row < std::min(first_row + Tile::kRows, rows.rows);
         row += Tile::kThreads) {
      any = any || problem.images.valid(rows.cells.quotient(row));
    }
    return __syncthreads_or(any) != 0;
  }
};

template <class Math, class Tile, class Gather>
__global__ void __launch_bounds__(Tile::kThreads, resident_blocks<Math, Tile, Gather>())
    gemm_kernel(const GemmProblem problem, const typename Gather::Arguments arguments) {
#ifdef __CUDA_ARCH__
  constexpr bool kCompiled = __CUDA_ARCH__ >= Math::kLeastArch;
#else
  constexpr bool kCompiled = true;
#endif
  if constexpr (kCompiled) {
    INSTASEG_DYNAMIC_SHARED(char, shared);
    BlockPlace<Tile> place(problem);
    if (!place.any_row(problem)) return;
    const GemmPhase& phase = problem.phase[place.phase];
    Gather gather(problem, phase, arguments, place.group, place.first_row, place.first_tile);

    // Stage s of the ring holds tile of k number s modulo the stages, kStages - 1 of them ahead of the arithmetic.
    const auto fetch = [&](int tile, int stage) {
      char* base = shared + stage * Tile::kStageBytes;
      if (tile < place.tiles) {
        gather.fetch(base);
        fetch_weights<Tile::kColumns, Tile::kThreads>(base + Tile::kRowBytes, place.weights, place.first_column,
                                                      problem.padded_columns);
        place.weights += place.weight_step;
      }
      cp_async_commit();
    };
    for (int stage = 0; stage < Tile::kStages - 1; ++stage) {
      fetch(stage, stage);
      if (stage < place.tiles) gather.store(shared + stage * Tile::kStageBytes);
    }
    const int warp = static_cast<int>(threadIdx.x) >> 5;
    const int warp_row = warp / Tile::kWarpsAcross * Tile::kWarpRows;
    const int warp_column = warp % Tile::kWarpsAcross * Tile::kWarpColumns;
    GemmAccumulator<Math, Tile> accumulator;
    int stage = 0;
    int next_stage = Tile::kStages - 1;
    for (int tile = 0; tile < place.tiles; ++tile) {
      cp_async_wait<Tile::kStages - 2>();
      // The tile is there for all, and all have left the stage that is filled next.
      __syncthreads();
      fetch(tile + Tile::kStages - 1, next_stage);
      const char* base = shared + stage * Tile::kStageBytes;
      accumulator.add(base, warp_row, base + Tile::kRowBytes, warp_column);
      if (tile + Tile::kStages - 1 < place.tiles) gather.store(shared + next_stage * Tile::kStageBytes);
      next_stage = stage;
      stage = stage + 1 == Tile::kStages ? 0 : stage + 1;
    }
    cp_async_wait<0>();
    __syncthreads();  // the epilogue writes over the ring
    store_tile<Math, Tile>(problem, phase, accumulator, shared, place.first_row, place.first_column, place.group,
                           place.split);
  }
}

/// The grid for a tile; it covers the largest phase.
template <class Tile>
dim3 grid_of(const GemmProblem& problem) {
  int64_t rows = 0;
  for (int i = 0; i < problem.phases; ++i) rows = std::max<int64_t>(rows, problem.phase[i].rows);
  const int64_t tiles = divide_up(rows, Tile::kRows) * divide_up(problem.group_columns, Tile::kColumns);
  return dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(problem.groups * problem.phases),
              static_cast<unsigned>(problem.splits));
}

template <class Math, class Tile, class Gather>
void launch_gemm(const GemmProblem& problem, const typename Gather::Arguments& arguments,
                 const KernelContext& context) {
  launch(context, {.grid = grid_of<Tile>(problem), .block = dim3(Tile::kThreads), .shared_bytes = Tile::kSharedBytes},
         gemm_kernel<Math, Tile, Gather>, problem, arguments);
}

}  // namespace instaseg::cuda
