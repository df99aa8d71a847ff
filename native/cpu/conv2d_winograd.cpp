// conv2d, variants winograd4 and winograd5 (AVX2 with FMA), winograd4_avx512 and winograd5_avx512: F(4x4, 3x3) and
// F(5x5, 3x3) for 3x3 kernels of stride 1. A 4x4 block of outputs takes 36 products a channel instead of 144, a 5x5
// block 49 instead of 225: 4 and 4.6 times less work than the GEMM, paid for with 4 and 5.4 times the weights in memory
// and with about 2 and 4 times the rounding error.
//
// Y = A^T [(G g G^T) * (B^T d B)] A (Lavin and Gray, "Fast algorithms for convolutional neural networks"), with
// interpolation points that are balanced around 1 instead of the usual 0, +-1, +-2 (winograd.h). F(6x6, 3x3) would save
// a tenth more of the products where it fits, at twice the error of F(5x5), which comes too near to 1e-5.
//
// Three steps, over as many tiles at once as keep V in the last-level cache:
//   V[point][tile][Cin] = B^T d B       gathered from the image, zeros outside
//   M[point][tile][Cout] = V[i] * U[i]  36 or 49 products through the GEMM kernel, for a block of tiles and a chunk of
//                                       Cout
//   Y = A^T M A                         with the fused epilogue, from the same thread's cache
// The tiles lie on a grid of each image, so an image's results do not depend on the others.
#include "cpu/gemm.h"

#ifdef INSTASEG_X86
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "cpu/gemm_units.h"
#include "cpu/lanes.h"
#include "cpu/rows.h"
#include "cpu/winograd.h"
#include "ops/conv2d.h"

namespace instaseg::cpu {
namespace {

using In = Conv2d::Input;

/// Tiles of a unit of work and channels of its chunk: their part of M stays in the L2 cache. Long blocks of few
/// channels were measured 3 to 5 % faster than 72 tiles of 64 channels, whose M is as large.
constexpr int64_t kBlockTiles = 144;
constexpr int64_t kChunkChannels = 32;
/// V of the tiles that are transformed before their products begin, where that is enough for all threads.
constexpr int64_t kGroupBytes = 4 << 20;
/// Values of k of a panel that stay in the L1 cache.
constexpr int64_t kSlice = 256;
/// Fewer outputs in all tiles cannot hide that several times the weights are read, fewer channels not the transforms.
/// Inside these limits Winograd was 1.1 to 4 times faster than the GEMM variant of the same level (figures in
/// docs/architecture.md).
constexpr int64_t kLeastPixels = 225;
constexpr int64_t kLeastInputs = 32;
constexpr int64_t kLeastOutputs = 12;
/// Reading the weights of a product takes as long as multiplying some 8 to 10 tiles by them. With 8, maps of 18x18 take
/// the tiles of the larger maps that YOLACT's heads also see, so that their weights are packed once.
constexpr int64_t kWeightTiles = 8;

int64_t round_up(int64_t a, int64_t multiple) { return divide_up(a, multiple) * multiple; }
/// Fetches `count` floats into the L1 cache. (Always inline: GCC drops calls of functions that only fetch.)
INSTASEG_INLINE void fetch(const float* values, int64_t count) {
  for (int64_t i = 0; i < count; i += kLine) _mm_prefetch(reinterpret_cast<const char*>(values + i), _MM_HINT_T0);
}
/// Strides that are multiples of 4096 bytes would put all planes into one set of the L1 cache.
int64_t plane_stride(int64_t tiles, int64_t channels) { return tiles * channels + 16; }

template <class Size>
struct Geometry {
  int64_t tiles_y;
  int64_t tiles_x;
  int64_t input_channels;  // of a row of V, padded to whole vectors of any level
  int64_t panels;
  int64_t group;  // most tiles transformed at once

  Geometry(const GemmKernels& gemm, const Shape& output, int64_t input_channels_, int64_t images, int threads)
      : tiles_y(divide_up(output[1], Size::kTile)),
        tiles_x(divide_up(output[2], Size::kTile)),
        input_channels(round_up(input_channels_, 16)),
        panels(gemm.panel_count(output[3])) {
    const int64_t fitting = kGroupBytes / (Size::kPoints * input_channels * static_cast<int64_t>(sizeof(float)));
    group = round_up(std::max(fitting, kBlockTiles * threads), kBlockTiles);
    group = std::min(group, round_up(images * tiles_y * tiles_x, gemm.tile_rows));
  }

  size_t zero_bytes() const { return round_up(sizeof(float) * input_channels, 64); }
  size_t v_bytes() const { return round_up(sizeof(float) * Size::kPoints * plane_stride(group, input_channels), 64); }
  size_t m_bytes() const { return sizeof(float) * Size::kPoints * plane_stride(kBlockTiles, kChunkChannels); }
  static size_t row_bytes() { return round_up(kBlockTiles * sizeof(int64_t), 64); }
  size_t thread_bytes() const { return m_bytes() + 2 * row_bytes(); }
};

/// Tiles of a tile size that cover one image, or the regions of one image: it decides, so that a batch takes the same
/// variant as its images alone.
template <class Size>
struct Grid {
  int64_t tiles;
  int64_t pixels;  // outputs

  Grid(const Conv2d& op, const Specs& in) {
    const Shape& x = in[In::kInput].shape;
    const int64_t regions = in[In::kCounts].absent ? 1 : x[0] / in[In::kCounts].shape[0];
    const int64_t height = x[1] + 2 * op.padding.y - 2;
    const int64_t width = x[2] + 2 * op.padding.x - 2;
    tiles = regions * divide_up(height, Size::kTile) * divide_up(width, Size::kTile);
    pixels = regions * height * width;
  }

  bool enough() const { return tiles * Size::kTile * Size::kTile >= kLeastPixels; }
  bool well_filled() const { return 2 * pixels >= tiles * Size::kTile * Size::kTile; }
  int64_t cost() const { return Size::kPoints * (tiles + kWeightTiles); }
};

using Size4 = Interpolation<4>;
using Size5 = Interpolation<5>;

template <class Size>
bool supports(const Conv2d& op, const Specs& in) {
  const Shape& w = in[In::kWeight].shape;
  if (w[2] != 3 || w[3] != 3 || op.stride.y != 1 || op.stride.x != 1 || op.dilation.y != 1 || op.dilation.x != 1 ||
      op.groups != 1 || w[0] < kLeastOutputs || w[1] < kLeastInputs) {
    return false;
  }
  const Grid<Size> grid(op, in);
  // F(5x5), which ranks higher, only where it is faster; the other needs the fewer weights and errs less.
  if (Size::kTile == 5 && grid.cost() >= Grid<Size4>(op, in).cost()) return false;
  return grid.enough() && grid.well_filled();
}

/// G g G^T in double for a panel of output channels at once: U[point][panel][cin][panel_columns].
template <class Size, const GemmKernels& Kernels>
std::shared_ptr<const void> pack(const Conv2d&, const TensorView& weight, const PackContext& context) {
  constexpr const auto& g = Size::kFilter.rows;
  const Shape& w = weight.shape;
  const int64_t width = Kernels.panel_columns;
  const int64_t panels = Kernels.panel_count(w[0]);
  const int64_t point_stride = panels * w[1] * width;
  auto packed = std::make_shared<PackedPanels>();
  packed->memory = context.host->allocate(sizeof(float) * static_cast<size_t>(Size::kPoints * point_stride));
  for (int64_t panel = 0; panel < panels; ++panel) {
    for (int64_t c = 0; c < w[1]; ++c) {
      double filter[3][3][kMostPanelColumns] = {};
      const int64_t columns = std::min(width, w[0] - panel * width);
      for (int64_t i = 0; i < columns; ++i) {
        const float* source = weight.f32() + ((panel * width + i) * w[1] + c) * 9;
        for (int64_t k = 0; k < 9; ++k) filter[k / 3][k % 3][i] = source[k];
      }
      double half[Size::kWindow][3][kMostPanelColumns];
      for (int64_t y = 0; y < Size::kWindow; ++y) {
        for (int64_t x = 0; x < 3; ++x) {
          for (int64_t i = 0; i < width; ++i) {
            half[y][x][i] = g[y][0] * filter[0][x][i] + g[y][1] * filter[1][x][i] + g[y][2] * filter[2][x][i];
          }
        }
      }
      float* target = packed->data() + (panel * w[1] + c) * width;
      for (int64_t y = 0; y < Size::kWindow; ++y) {
        for (int64_t x = 0; x < Size::kWindow; ++x, target += point_stride) {
          for (int64_t i = 0; i < width; ++i) {
            target[i] = static_cast<float>(g[x][0] * half[y][0][i] + g[x][1] * half[y][1][i] + g[x][2] * half[y][2][i]);
          }
        }
      }
    }
  }
  return packed;
}

template <class Size, const GemmKernels& Kernels>
size_t workspace(const Conv2d&, const Specs& in, const Specs& out, int threads) {
  const Geometry<Size> geometry(Kernels, out[0].shape, in[In::kInput].shape[3], in[In::kInput].shape[0], threads);
  return geometry.zero_bytes() + geometry.v_bytes() + geometry.thread_bytes() * static_cast<size_t>(threads);
}

/// Where the outputs of a tile go and what they pass through.
struct TileOutput {
  float* output;          // of the tile's first pixel, first channel of the chunk
  const float* residual;  // likewise, or null
  const float* scale;     // from the chunk's first channel on; null where absent
  const float* bias;
  int64_t row_stride;
  int64_t pixel_stride;
  int64_t rows;  // of the tile that lie in the image
  int64_t columns;
  bool relu;
};

/// What one instruction set brings.
template <class Size>
struct WinogradKernels {
  const GemmKernels& gemm;
  /// V of one tile: `pixels` are its input pixels, the points are `v_stride` apart.
  void (*transform_input)(const float* const* pixels, int64_t channels, float* v, int64_t v_stride);
  void (*transform_output)(const float* m, int64_t m_stride, int64_t channels, const TileOutput& tile);
};

namespace avx2 {
using Lanes = Avx2;
#define INSTASEG_LEVEL INSTASEG_AVX2
#include "cpu/winograd_x86.h"
#undef INSTASEG_LEVEL
template <class Size>
constexpr WinogradKernels<Size> kKernels{kGemmAvx2, transform_input_tile<Size>, transform_output_tile<Size>};
}  // namespace avx2

namespace avx512 {
using Lanes = Avx512;
#define INSTASEG_LEVEL INSTASEG_AVX512
#include "cpu/winograd_x86.h"
#undef INSTASEG_LEVEL
template <class Size>
constexpr WinogradKernels<Size> kKernels{kGemmAvx512, transform_input_tile<Size>, transform_output_tile<Size>};
}  // namespace avx512

template <class Size>
class Winograd {
 public:
  Winograd(const WinogradKernels<Size>& kernels, const Conv2d& op, const KernelContext& context)
      : kernels_(kernels),
        op_(op),
        context_(context),
        x_(context.inputs[In::kInput].shape),
        y_(context.outputs[0].shape),
        images_(x_[0], context.inputs[In::kCounts]),
        geometry_(kernels.gemm, y_, x_[3], x_[0], context.pool.threads()),
        u_(static_cast<const PackedPanels*>(context.packed)->data()) {
    char* memory = context.workspace;
    zeros_ = reinterpret_cast<float*>(memory);
    v_ = reinterpret_cast<float*>(memory + geometry_.zero_bytes());
    threads_ = memory + geometry_.zero_bytes() + geometry_.v_bytes();
  }

  void run() {
    std::memset(zeros_, 0, geometry_.zero_bytes());
    const int64_t tiles = images_.total() * geometry_.tiles_y * geometry_.tiles_x;
    const int64_t chunk_panels = kChunkChannels / kernels_.gemm.panel_columns;
    const int64_t chunks = divide_up(geometry_.panels, chunk_panels);
    for (int64_t first = 0; first < tiles; first += geometry_.group) {
      const int64_t count = std::min(geometry_.group, tiles - first);
      context_.parallel_for(count, 4, [&](int64_t begin, int64_t end, int) {
        for (int64_t tile = begin; tile < end; ++tile) gather(first + tile, tile);
      });
      // Tiles vary before channels, so that a chunk of U is read once.
      const int64_t block = block_tiles(count, chunks);
      const int64_t blocks = divide_up(count, block);
      context_.parallel_for(blocks * chunks, 1, [&](int64_t unit, int64_t, int thread) {
        const int64_t begin = unit % blocks * block;
        multiply(first, begin, std::min(block, count - begin), unit / blocks * chunk_panels, chunk_panels, thread);
      });
    }
  }

 private:
  // Tiles of a block: so many that the blocks are equal, and that no thread waits long for the last unit.
  int64_t block_tiles(int64_t count, int64_t chunks) const {
    const int64_t threads = context_.pool.threads();
    const int64_t rows = kernels_.gemm.tile_rows;
    for (int64_t blocks = divide_up(count, kBlockTiles);; ++blocks) {
      const int64_t units = blocks * chunks;
      const bool balanced = 8 * units >= 7 * round_up(units, threads);
      // Whole micro-kernel tiles, unless there are so few that the last block would be much smaller.
      const int64_t tiles = divide_up(count, blocks);
      const int64_t block = tiles < 4 * rows ? tiles : round_up(tiles, rows);
      if (balanced || tiles <= rows) return block;
    }
  }

  struct Position {
    int64_t image;
    int64_t y;  // first output pixel
    int64_t x;
  };

  Position position(int64_t tile) const {
    const int64_t image_tiles = geometry_.tiles_y * geometry_.tiles_x;
    const int64_t inside = tile % image_tiles;
    return {images_.row(tile / image_tiles), inside / geometry_.tiles_x * Size::kTile,
            inside % geometry_.tiles_x * Size::kTile};
  }

  // Transforms the inputs of a tile into row `row` of V.
  void gather(int64_t tile, int64_t row) const {
    const Position at = position(tile);
    const float* image = context_.inputs[In::kInput].f32() + at.image * x_[1] * x_[2] * x_[3];
    std::array<const float*, Size::kPoints> pixels;
    for (int64_t i = 0; i < Size::kPoints; ++i) {
      const int64_t y = at.y - op_.padding.y + i / Size::kWindow;
      const int64_t x = at.x - op_.padding.x + i % Size::kWindow;
      const bool inside = y >= 0 && y < x_[1] && x >= 0 && x < x_[2];
      pixels[i] = inside ? image + (y * x_[2] + x) * x_[3] : zeros_;
    }
    // Fetched meanwhile: the columns that the next tile of the row adds.
    const int64_t next_x = at.x - op_.padding.x + Size::kWindow;
    const int64_t next_columns = std::min<int64_t>(Size::kTile, x_[2] - next_x);
    for (int64_t i = 0; i < Size::kWindow; ++i) {
      const int64_t y = at.y - op_.padding.y + i;
      if (next_x < 0 || next_columns <= 0 || y < 0 || y >= x_[1]) continue;
      fetch(image + (y * x_[2] + next_x) * x_[3], next_columns * x_[3]);
    }
    kernels_.transform_input(pixels.data(), x_[3], v_ + row * geometry_.input_channels,
                             plane_stride(geometry_.group, geometry_.input_channels));
  }

  // Products and outputs of tiles [begin, begin + count) of the group that starts at tile `first`, for one chunk.
  void multiply(int64_t first, int64_t begin, int64_t count, int64_t first_panel, int64_t most_panels,
                int thread) const {
    char* memory = threads_ + geometry_.thread_bytes() * thread;
    float* m = reinterpret_cast<float*>(memory);
    const auto rows = reinterpret_cast<const float**>(memory + geometry_.m_bytes());
    const auto m_rows = reinterpret_cast<int64_t*>(memory + geometry_.m_bytes() + Geometry<Size>::row_bytes());
    const int64_t columns = kernels_.gemm.panel_columns;
    const int64_t panels = std::min(most_panels, geometry_.panels - first_panel);
    const int64_t width = panels * columns;
    const int64_t m_stride = plane_stride(count, width);
    for (int64_t tile = 0; tile < count; ++tile) {
      rows[tile] = v_ + (begin + tile) * geometry_.input_channels;
      m_rows[tile] = tile * width;
    }

    // A panel's weights from k on, for one of the products.
    const auto weights = [&](int64_t point, int64_t panel, int64_t k) {
      return u_ + ((point * geometry_.panels + first_panel + panel) * x_[3] + k) * columns;
    };
    PanelCall call;
    call.a = rows;
    call.a_stride = call.rows = count;
    call.taps = 1;
    call.c_rows = m_rows;
    // Of the last panel only the vectors that hold output channels.
    const int64_t last_columns = std::min(columns, round_up(y_[3] - (first_panel + panels - 1) * columns, columns / 2));
    const int64_t v_plane = plane_stride(geometry_.group, geometry_.input_channels);
    for (int64_t point = 0; point < Size::kPoints; ++point) {
      for (int64_t k = 0; k < x_[3]; k += kSlice) {
        call.a_offset = point * v_plane + k;
        call.run = std::min(kSlice, x_[3] - k);
        call.resume = k > 0;
        for (int64_t panel = 0; panel < panels; ++panel) {
          call.columns = panel + 1 == panels ? last_columns : columns;
          call.b = weights(point, panel, k);
          // Fetched meanwhile: the next panel's weights, or the next product's.
          call.next_b = call.next_a = {};
          const auto part = static_cast<size_t>(call.run * columns);
          if (panel + 1 < panels) {
            call.next_b = {weights(point, panel + 1, k), part};
          } else if (k + kSlice < x_[3]) {
            call.next_b = {weights(point, 0, k + kSlice), part};
          } else if (point + 1 < Size::kPoints) {
            call.next_b = {weights(point + 1, 0, 0), part};
          }
          if (point + 1 < Size::kPoints) {
            // This call's share of the next product's rows.
            const int64_t share = count * geometry_.input_channels / (panels * divide_up(x_[3], kSlice));
            const int64_t index = k / kSlice * panels + panel;
            call.next_a = {rows[0] + (point + 1) * v_plane + index * share, static_cast<size_t>(share)};
          }
          call.c = m + point * m_stride + panel * columns;
          kernels_.gemm.panel(call);
        }
      }
    }

    const int64_t channel = first_panel * columns;
    const int64_t channels = std::min(width, y_[3] - channel);
    const auto from = [&](In input) {
      const float* values = context_.inputs[input].f32();
      return values ? values + channel : nullptr;
    };
    const float* residual = from(In::kResidual);
    TileOutput out{};
    out.scale = from(In::kScale);
    out.bias = from(In::kBias);
    out.row_stride = y_[2] * y_[3];
    out.pixel_stride = y_[3];
    out.relu = op_.activation == Activation::relu;
    const auto aim = [&](int64_t tile) {
      const Position at = position(first + begin + tile);
      const int64_t offset = ((at.image * y_[1] + at.y) * y_[2] + at.x) * y_[3];
      out.output = context_.outputs[0].as<float>() + offset + channel;
      out.residual = residual ? residual + offset : nullptr;
      out.rows = std::min<int64_t>(Size::kTile, y_[1] - at.y);
      out.columns = std::min<int64_t>(Size::kTile, y_[2] - at.x);
    };
    for (int64_t tile = 0; tile < count; ++tile) {
      if (tile + 1 < count) {
        // Where the next tile goes may have left the caches.
        aim(tile + 1);
        for (int64_t i = 0; i < out.rows * out.columns; ++i) {
          const int64_t pixel = i / out.columns * out.row_stride + i % out.columns * out.pixel_stride;
          fetch(out.output + pixel, channels);
          if (out.residual) fetch(out.residual + pixel, channels);
        }
      }
      aim(tile);
      kernels_.transform_output(m + m_rows[tile], m_stride, channels, out);
      if (op_.activation <= Activation::relu) continue;
      for (int64_t y = 0; y < out.rows; ++y) {
        for (int64_t x = 0; x < out.columns; ++x) {
          kernels_.gemm.activate(op_.activation, out.output + y * out.row_stride + x * out.pixel_stride, channels);
        }
      }
    }
  }

  const WinogradKernels<Size>& kernels_;
  const Conv2d& op_;
  const KernelContext& context_;
  const Shape& x_;
  const Shape& y_;
  const ValidRows images_;
  const Geometry<Size> geometry_;
  const float* u_;
  float* zeros_;
  float* v_;
  char* threads_;
};

template <class Size, const WinogradKernels<Size>& Kernels>
void run(const Conv2d& op, const KernelContext& context) {
  if (context.outputs[0].elements() > 0) Winograd<Size>(Kernels, op, context).run();
}

template <class Size, const GemmKernels& Kernels>
std::string pack_key(const Conv2d&, const Specs&) {
  const std::string tile = std::to_string(Size::kTile);
  return "conv2d winograd " + tile + "x" + tile + ", panels of " + std::to_string(Kernels.panel_columns);
}

template <class Size, const GemmKernels& Gemm, const WinogradKernels<Size>& Kernels>
Kernel<Conv2d> row(const char* variant, Isa isa, int rank) {
  return {.variant = variant,
          .isa = isa,
          .rank = rank,
          .supports = supports<Size>,
          .workspace = workspace<Size, Gemm>,
          .packed_input = In::kWeight,
          .pack_key = pack_key<Size, Gemm>,
          .pack = pack<Size, Gemm>,
          .run = run<Size, Kernels>};
}

const KernelRegistration<Conv2d> rows[] = {
    row<Size4, kGemmAvx2, avx2::kKernels<Size4>>("winograd4", Isa::avx2, 40),
    row<Size5, kGemmAvx2, avx2::kKernels<Size5>>("winograd5", Isa::avx2, 41),
    row<Size4, kGemmAvx512, avx512::kKernels<Size4>>("winograd4_avx512", Isa::avx512, 50),
    row<Size5, kGemmAvx512, avx512::kKernels<Size5>>("winograd5_avx512", Isa::avx512, 51)};

}  // namespace
}  // namespace instaseg::cpu
#endif
