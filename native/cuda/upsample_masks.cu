// upsampleMasks, variants:
//   simt  a block a mask finds the cells other than 0 and from them the region; one block adds up where the masks go;
//   the
//         host reads the two totals and allocates; then a warp takes a tile of 32 x 32 pixels, a lane a column: one tap
//         a lane for its column, one for a row, which the others get by shuffles, and a vote a row gives 32 bits
// The CPU's bits. The op's output has a dynamic shape, so nothing of this is recorded.
#include "ops/upsample_masks.h"

#include <algorithm>

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "ops/linear_axis.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int64_t kTile = 32;

struct Problem {
  const float* masks;
  const int32_t* sizes;
  int64_t rows;  ///< masks, valid or not
  int64_t mask_height, mask_width;
  Divider capacity;
  ValidRows valid;

  __device__ int64_t image_size(int64_t row, int axis) const {
    const int32_t size = sizes[capacity.quotient(row) * 4 + axis];
    return size > 0 ? size : 0;
  }
};

/// x, y, width, height, as the op's output has it.
struct Region {
  int32_t x, y, width, height;
};

__host__ __device__ int64_t words_of(int64_t width) { return (width + 31) / 32; }
__device__ int64_t tiles_of(int64_t pixels) { return (pixels + kTile - 1) / kTile; }

// The first pixel of an axis whose tap reaches `cell` (with its second neighbour, or its first); taps never go back.
__device__ int64_t first_pixel(bool second, int64_t cell, int64_t cells, int64_t pixels) {
  int64_t low = 0, high = pixels;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    const LinearTap tap = linear_tap(middle, cells, pixels);
    if ((second ? tap.second : tap.first) >= cell) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

__global__ void __launch_bounds__(kBlock) regions_kernel(Problem p, Region* __restrict__ regions) {
  INSTASEG_SHARED(int, bounds, 4);  // lowest row and column, then highest
  for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    if (!p.valid.contains(row)) continue;
    if (threadIdx.x < 4) bounds[threadIdx.x] = threadIdx.x < 2 ? INT32_MAX : -1;
    __syncthreads();
    const float* mask = p.masks + row * p.mask_height * p.mask_width;
    const int width = static_cast<int>(p.mask_width);
    const int cells = static_cast<int>(p.mask_height) * width;  // at most 4096 * 4096
    int low_y = INT32_MAX, low_x = INT32_MAX, high_y = -1, high_x = -1;
    for (int i = static_cast<int>(threadIdx.x); i < cells; i += kBlock) {
      if (mask[i] == 0.0f) continue;
      const int y = i / width;
      const int x = i - y * width;
      low_y = std::min(low_y, y);
      low_x = std::min(low_x, x);
      high_y = std::max(high_y, y);
      high_x = std::max(high_x, x);
    }
    if (high_y >= 0) {
      atomicMin(&bounds[0], low_y);
      atomicMin(&bounds[1], low_x);
      atomicMax(&bounds[2], high_y);
      atomicMax(&bounds[3], high_x);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      Region region{};
      if (bounds[2] >= 0) {
        const int64_t height = p.image_size(row, 0);
        const int64_t image_width = p.image_size(row, 1);
        const int64_t top = first_pixel(true, bounds[0], p.mask_height, height);
        const int64_t left = first_pixel(true, bounds[1], p.mask_width, image_width);
        const int64_t bottom = first_pixel(false, bounds[2] + 1, p.mask_height, height);
        const int64_t right = first_pixel(false, bounds[3] + 1, p.mask_width, image_width);
        if (bottom > top && right > left) {
          region = {static_cast<int32_t>(left), static_cast<int32_t>(top), static_cast<int32_t>(right - left),
                    static_cast<int32_t>(bottom - top)};
        }
      }
      regions[row] = region;
    }
    __syncthreads();
  }
}

/// What the masks of some rows take together: words (or values) of memory, tiles of work.
struct Totals {
  int64_t memory, tiles;
};

// One block. ends[row]: tiles of the rows up to it.
__global__ void __launch_bounds__(kBlock)
    offsets_kernel(Problem p, const Region* __restrict__ regions, bool soft, int32_t* __restrict__ offsets,
                   int64_t* __restrict__ ends, Totals* __restrict__ totals) {
  INSTASEG_SHARED(Totals, sums, kBlock);
  const int thread = static_cast<int>(threadIdx.x);
  Totals before{0, 0};
  for (int64_t first = 0; first < p.rows; first += kBlock) {
    const int64_t row = first + thread;
    const bool valid = row < p.rows && p.valid.contains(row);
    const Region region = valid ? regions[row] : Region{};
    const int64_t width = region.width, height = region.height;
    const Totals own{height * (soft ? width : words_of(width)), tiles_of(height) * tiles_of(width)};
    sums[thread] = own;
    for (int step = 1; step < kBlock; step *= 2) {
      __syncthreads();
      const Totals other = thread >= step ? sums[thread - step] : Totals{0, 0};
      __syncthreads();
      sums[thread].memory += other.memory;
      sums[thread].tiles += other.tiles;
    }
    __syncthreads();
    if (valid) offsets[row] = static_cast<int32_t>(before.memory + sums[thread].memory - own.memory);
    if (row < p.rows) ends[row] = before.tiles + sums[thread].tiles;
    before.memory += sums[kBlock - 1].memory;
    before.tiles += sums[kBlock - 1].tiles;
    __syncthreads();
  }
  if (thread == 0) *totals = before;
}

template <bool Soft>
__global__ void __launch_bounds__(kBlock)
    tiles_kernel(Problem p, const Region* __restrict__ regions, const int32_t* __restrict__ offsets,
                 const int64_t* __restrict__ ends, int64_t tiles, float threshold, void* __restrict__ output) {
  constexpr int kWarps = kBlock / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int64_t tile = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; tile < tiles;
       tile += int64_t{gridDim.x} * kWarps) {
    int64_t row = 0;
    for (int64_t high = p.rows; row < high;) {
      const int64_t middle = (row + high) / 2;
      if (ends[middle] > tile) {
        high = middle;
      } else {
        row = middle + 1;
      }
    }
    const Region region = regions[row];
    const int64_t local = tile - (row > 0 ? ends[row - 1] : 0);
    const int64_t across = tiles_of(region.width);
    const int64_t first_y = local / across * kTile;
    const int64_t x = local % across * kTile + lane;
    const int64_t height = p.image_size(row, 0);
    const int64_t width = p.image_size(row, 1);
    // Lanes past the region take its last row and column; what they compute is dropped.
    const bool inside = x < region.width;
    const LinearTap column = linear_tap(region.x + (inside ? x : region.width - 1), p.mask_width, width);
    const int64_t own_y = first_y + lane < region.height ? first_y + lane : region.height - 1;
    const LinearTap own = linear_tap(region.y + own_y, p.mask_height, height);
    const float* mask = p.masks + row * p.mask_height * p.mask_width;
    const int count = static_cast<int>(region.height - first_y < kTile ? region.height - first_y : kTile);
    uint32_t word = 0;
    for (int y = 0; y < count; ++y) {
      const float* upper = mask + __shfl_sync(0xffffffffu, own.first, y) * p.mask_width;
      const float* lower = mask + __shfl_sync(0xffffffffu, own.second, y) * p.mask_width;
      const float upper_weight = __shfl_sync(0xffffffffu, own.first_weight, y);
      const float lower_weight = __shfl_sync(0xffffffffu, own.second_weight, y);
      const float value =
          (upper[column.first] * column.first_weight + upper[column.second] * column.second_weight) * upper_weight +
          (lower[column.first] * column.first_weight + lower[column.second] * column.second_weight) * lower_weight;
      if constexpr (Soft) {
        if (inside) static_cast<float*>(output)[offsets[row] + (first_y + y) * region.width + x] = value;
      } else {
        const uint32_t bits = __ballot_sync(0xffffffffu, inside && value > threshold);
        if (lane == y) word = bits;
      }
    }
    if constexpr (!Soft) {
      // Lane y holds the word of row y.
      if (lane < count) {
        const int64_t place = (first_y + lane) * words_of(region.width) + local % across;
        static_cast<uint32_t*>(output)[offsets[row] + place] = word;
      }
    }
  }
}

void run(const UpsampleMasks& op, const KernelContext& context) {
  const Shape& masks = context.inputs[0].shape;
  const Shape& rows = context.outputs[1].shape;
  const int64_t count = rows.elements();
  const Problem problem{.masks = context.inputs[0].f32(),
                        .sizes = context.inputs[1].i32(),
                        .rows = count,
                        .mask_height = UpsampleMasks::height(masks),
                        .mask_width = UpsampleMasks::width(masks),
                        .capacity = Divider(rows[1]),
                        .valid = ValidRows(count, count ? input_or_absent(context, 2) : TensorView{})};
  Region* regions = context.outputs[0].as<Region>();
  int32_t* offsets = context.outputs[1].as<int32_t>();
  Totals* totals = reinterpret_cast<Totals*>(context.workspace);
  int64_t* ends = reinterpret_cast<int64_t*>(totals + 1);
  Totals host{0, 0};
  if (count > 0) {
    launch(context, {.grid = blocks_for(count, 1), .block = kBlock}, regions_kernel, problem, regions);
    launch(context, {.grid = 1, .block = kBlock}, offsets_kernel, problem, regions, op.soft, offsets, ends, totals);
    context.backend->download(&host, totals, sizeof host);
    context.backend->synchronize();
  }
  require(host.memory <= INT32_MAX, ErrorCode::out_of_memory, UpsampleMasks::name, ": the masks take more than 8 GB");
  void* output = context.allocate_output(2, {op.soft ? host.memory : host.memory * 4});
  launch(context, {.grid = blocks_for(host.tiles, kBlock / 32), .block = kBlock},
         op.soft ? tiles_kernel<true> : tiles_kernel<false>, problem, regions, offsets, ends, host.tiles, op.threshold,
         output);
}

size_t workspace(const UpsampleMasks&, const Specs&, const Specs& outputs, int) {
  return sizeof(Totals) + static_cast<size_t>(outputs[1].shape.elements()) * sizeof(int64_t);
}

const KernelRegistrations<UpsampleMasks> simt({DType::f32},
                                              {.variant = "simt", .rank = 10, .workspace = workspace, .run = run});

}  // namespace
}  // namespace instaseg::cuda
