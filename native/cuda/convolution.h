// From the attributes of an op to launches: conv2d, convTranspose2d and linear describe themselves as a Convolution,
// and everything else (checks, packing, plan, workspace, run) is one code for all of them.
#pragma once

#include <cstring>
#include <vector>

#include "cuda/gemm.h"
#include "cuda/numeric.h"
#include "runtime/registry.h"

namespace instaseg::cuda {

/// The taps of one axis that a phase reads, and the kernel positions that they belong to.
struct PhaseAxis {
  TapAxis taps;
  int64_t kernel_first = 0;
  int64_t kernel_step = 1;
  /// First output position of the phase.
  int64_t origin = 0;
};

/// A convolution's geometry, as far as it does not depend on the size of the input.
struct Convolution {
  int64_t groups = 1;
  int64_t group_channels = 0;
  int64_t group_columns = 0;
  /// Input pixels from cell to cell.
  Pair stride{1, 1};
  /// Output pixels from cell to cell; phases of an axis are 0 ... step - 1.
  Pair step{1, 1};
  std::vector<PhaseAxis> y = std::vector<PhaseAxis>(1);
  std::vector<PhaseAxis> x = std::vector<PhaseAxis>(1);
  /// Images that the choice of a plan assumes together where there are no counts: rows of a plain linear are images of
  /// one pixel, and a plan for a single one would be poor for all.
  int64_t assumed_images = 1;

  bool depthwise() const { return groups > 1 && group_channels == 1 && group_columns == 1; }
};

/// conv2d and deformConv2d, `w` [Cout, Cin / groups, KH, KW].
inline Convolution window_convolution(const ConvWindow& op, const Shape& w) {
  const auto axis = [](int64_t kernel, int64_t padding, int64_t dilation) {
    return std::vector<PhaseAxis>{{.taps = {.count = static_cast<int>(kernel),
                                            .first = static_cast<int>(-padding),
                                            .step = static_cast<int>(dilation)}}};
  };
  return {.groups = op.groups,
          .group_channels = w[1],
          .group_columns = w[0] / op.groups,
          .stride = op.stride,
          .y = axis(w[2], op.padding.y, op.dilation.y),
          .x = axis(w[3], op.padding.x, op.dilation.x)};
}
inline float window_weight(const Convolution& conv, const TensorView& weight, int64_t group, int64_t column,
                           int64_t channel, int64_t ky, int64_t kx) {
  const Shape& w = weight.shape;
  return weight.f32()[(((group * conv.group_columns + column) * w[1] + channel) * w[2] + ky) * w[3] + kx];
}

/// 32-bit indices, with room for the rows of a last tile that nobody has.
inline constexpr int64_t kIndexLimit = (int64_t{1} << 31) - 1024;
/// Groups times phases of a launch are a grid's second dimension, at most 65535.
inline constexpr int64_t kGroupLimit = 65535 / kMaxPhases;
/// Of all axes together, for the kernels here; more go to the reference kernel.
inline constexpr int64_t kPhaseLimit = 64;

/// Cells of a phase along an axis.
inline int64_t phase_cells(int64_t output, int64_t origin, int64_t step) { return divide_up(output - origin, step); }

inline int64_t tile_elements(DType dtype) { return kTileBytes / static_cast<int64_t>(size_of(dtype)); }

inline int64_t phase_k_tiles(const Convolution& conv, const PhaseAxis& y, const PhaseAxis& x, DType dtype) {
  return divide_up(int64_t{y.taps.count} * x.taps.count * conv.group_channels, tile_elements(dtype));
}

inline int64_t padded_columns(const Convolution& conv) {
  return divide_up(conv.group_columns, kColumnAlignment) * kColumnAlignment;
}

/// Whether there is something to multiply and indices fit what the kernels calculate with: 64-bit starts of images and
/// weights, 32 bits within them.
inline bool fits_indices(const Convolution& conv, const Shape& x, const Shape& y) {
  if (conv.group_channels == 0) return false;
  if (static_cast<int64_t>(conv.y.size() * conv.x.size()) > kPhaseLimit || conv.groups > kGroupLimit) return false;
  const auto below_limit = [](double value) { return value < static_cast<double>(kIndexLimit); };
  const auto size = [](const Shape& shape, int axis) { return static_cast<double>(shape[axis]); };
  if (!below_limit(size(y, 0) * size(y, 1) * size(y, 2)) || !below_limit(size(x, 1) * size(x, 2) * size(x, 3))) {
    return false;
  }
  for (const PhaseAxis& py : conv.y) {
    for (const PhaseAxis& px : conv.x) {
      const double taps = static_cast<double>(py.taps.count) * px.taps.count;
      const double reach_y = static_cast<double>(py.taps.count) * std::abs(py.taps.step);
      const double reach_x = static_cast<double>(px.taps.count) * std::abs(px.taps.step);
      if (!below_limit((taps + 64) * static_cast<double>(conv.group_channels))) return false;
      if (!below_limit((reach_y * size(x, 2) + reach_x + 1) * size(x, 3))) return false;
    }
  }
  return true;
}

/// To nearest with 10 bits of mantissa, ties away from zero, as cvt.rna.tf32 does.
inline float rounded_to_tf32(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7f800000u) != 0x7f800000u) bits = (bits + 0x1000u) & 0xffffe000u;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

/// [phase][group][k tile][padded column][64 bytes of k], see GemmProblem; value(group, column, channel, ky, kx) gives a
/// weight. Chunks lie as tile_offset puts them, so that any eight columns and more are in memory as the kernels want
/// them in shared memory.
template <class T, bool RoundToTf32, class Value>
std::vector<char> pack_gemm_weights(const Convolution& conv, const Value& value) {
  constexpr DType kType = sizeof(T) == 4 ? DType::f32 : DType::f16;
  const int64_t k_values = tile_elements(kType);
  const int64_t columns = padded_columns(conv);
  int64_t tiles = 0;
  for (const PhaseAxis& y : conv.y) {
    for (const PhaseAxis& x : conv.x) tiles += phase_k_tiles(conv, y, x, kType);
  }
  std::vector<char> packed(static_cast<size_t>(tiles * conv.groups * columns * kTileBytes), 0);
  constexpr int64_t kChunkValues = 16 / sizeof(T);
  char* matrix = packed.data();
  for (const PhaseAxis& y : conv.y) {
    for (const PhaseAxis& x : conv.x) {
      const int64_t depth = int64_t{y.taps.count} * x.taps.count * conv.group_channels;
      for (int64_t group = 0; group < conv.groups; ++group) {
        for (int64_t k = 0; k < depth; ++k) {
          const int64_t tap = k / conv.group_channels;
          const int64_t ky = y.kernel_first + tap / x.taps.count * y.kernel_step;
          const int64_t kx = x.kernel_first + tap % x.taps.count * x.kernel_step;
          char* tile = matrix + k / k_values * columns * kTileBytes;
          const int chunk = static_cast<int>(k % k_values / kChunkValues);
          for (int64_t column = 0; column < conv.group_columns; ++column) {
            float weight = value(group, column, k % conv.group_channels, ky, kx);
            if constexpr (RoundToTf32) weight = rounded_to_tf32(weight);
            T* target = reinterpret_cast<T*>(tile + tile_offset(static_cast<int>(column), chunk));
            target[k % kChunkValues] = from_float<T>(weight);
          }
        }
        matrix += phase_k_tiles(conv, y, x, kType) * columns * kTileBytes;
      }
    }
  }
  return packed;
}

inline std::shared_ptr<const void> upload_packed(const PackContext& context, const std::vector<char>& packed) {
  return context.backend->keep(packed.data(), packed.size());
}

/// Weights of a depthwise convolution as f32 [phase][tap][channel].
template <class Value>
std::vector<char> pack_depthwise_weights(const Convolution& conv, const Value& value) {
  std::vector<float> packed;
  for (const PhaseAxis& y : conv.y) {
    for (const PhaseAxis& x : conv.x) {
      for (int64_t ty = 0; ty < y.taps.count; ++ty) {
        for (int64_t tx = 0; tx < x.taps.count; ++tx) {
          for (int64_t channel = 0; channel < conv.groups; ++channel) {
            packed.push_back(
                value(channel, 0, 0, y.kernel_first + ty * y.kernel_step, x.kernel_first + tx * x.kernel_step));
          }
        }
      }
    }
  }
  const char* bytes = reinterpret_cast<const char*>(packed.data());
  return {bytes, bytes + packed.size() * sizeof(float)};
}

/// What the plan may look at, for input and output [N, H, W, C]; `images` of one count, or 0 without counts.
inline GemmExtent extent_of(const Convolution& conv, DType dtype, const Shape& y, int64_t images) {
  GemmExtent extent{.columns = conv.group_columns, .products = conv.groups};
  int64_t phases = 0;
  for (const PhaseAxis& py : conv.y) {
    for (const PhaseAxis& px : conv.x) {
      if (py.origin >= y[1] || px.origin >= y[2]) continue;
      ++phases;
      extent.rows =
          std::max(extent.rows, phase_cells(y[1], py.origin, conv.step.y) * phase_cells(y[2], px.origin, conv.step.x));
      extent.k_tiles = std::max(extent.k_tiles, phase_k_tiles(conv, py, px, dtype));
    }
  }
  extent.rows *= images > 0 ? images : conv.assumed_images;
  extent.products *= phases;
  return extent;
}

/// The tensors of a call.
struct ConvolutionCall {
  TensorView input;   // [N, H, W, C]
  TensorView output;  // [N, OH, OW, Cout]
  Epilogue epilogue;
  TensorView counts;
};

/// Calls launch(problem) for all phases, kMaxPhases at a time. `phase_bytes(y, x)`: packed weights of a phase.
template <class PhaseBytes, class Launch>
void for_each_problem(const Convolution& conv, const ConvolutionCall& call, const void* weights,
                      const PhaseBytes& phase_bytes, const Launch& launch) {
  const Shape& x = call.input.shape;
  const Shape& y = call.output.shape;
  GemmProblem problem;
  problem.input = call.input.data;
  problem.weights = weights;
  problem.output = call.output.data;
  problem.epilogue = call.epilogue;
  problem.images = CountedImages(call.counts, y[0]);
  problem.image_elements = x.elements(1, 4);
  problem.height = static_cast<int>(x[1]);
  problem.width = static_cast<int>(x[2]);
  problem.channels = static_cast<int>(x[3]);
  problem.group_channels = static_cast<int>(conv.group_channels);
  problem.stride_y = static_cast<int>(conv.stride.y);
  problem.stride_x = static_cast<int>(conv.stride.x);
  problem.group_columns = static_cast<int>(conv.group_columns);
  problem.padded_columns = static_cast<int>(padded_columns(conv));
  problem.groups = static_cast<int>(conv.groups);
  problem.dense = conv.step.y == 1 && conv.step.x == 1;
  problem.output_height = static_cast<int>(y[1]);
  problem.output_width = static_cast<int>(y[2]);
  problem.step_y = static_cast<int>(conv.step.y);
  problem.step_x = static_cast<int>(conv.step.x);
  problem.output_channels = static_cast<int>(y[3]);
  problem.output_pixels = y.elements(0, 3);
  problem.phases = 0;
  int64_t offset = 0;
  for (const PhaseAxis& py : conv.y) {
    for (const PhaseAxis& px : conv.x) {
      const int64_t start = offset;
      offset += phase_bytes(py, px);
      if (py.origin >= y[1] || px.origin >= y[2]) continue;
      const int64_t height = phase_cells(y[1], py.origin, conv.step.y);
      const int64_t width = phase_cells(y[2], px.origin, conv.step.x);
      TapAxis taps_y = py.taps;
      TapAxis taps_x = px.taps;
      if (taps_x.count == 0) {  // no taps at all, in the form that indices can be divided by
        taps_y.count = 0;
        taps_x.count = 1;
      }
      problem.phase[problem.phases++] = {.y = taps_y,
                                         .x = taps_x,
                                         .origin_y = static_cast<int>(py.origin),
                                         .origin_x = static_cast<int>(px.origin),
                                         .cells = IndexDivider(static_cast<int>(height * width)),
                                         .width = IndexDivider(static_cast<int>(width)),
                                         .rows = static_cast<int>(y[0] * height * width),
                                         .k_tiles = static_cast<int>(phase_k_tiles(conv, py, px, call.input.dtype)),
                                         .weights = start};
      if (problem.phases == kMaxPhases) {
        launch(problem);
        problem.phases = 0;
      }
    }
  }
  if (problem.phases > 0) launch(problem);
}

/// The matrix product with packed weights; `workspace` holds the partial sums of `plan.splits`.
void run_convolution(const Convolution& conv, const ConvolutionCall& call, GemmMath math, const GemmPlan& plan,
                     const KernelContext& context);

/// The direct kernel of a depthwise convolution.
void run_depthwise(const Convolution& conv, const ConvolutionCall& call, const KernelContext& context);

}  // namespace instaseg::cuda
