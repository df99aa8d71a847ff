// A convolution as products of gathered rows with packed weights (implicit GEMM over NHWC): conv2d, linear and each
// output phase of a transposed convolution.
#pragma once

#include <span>
#include <vector>

#include "cpu/gemm.h"
#include "cpu/rows.h"

namespace instaseg::cpu {

/// A regular grid of output pixels that share one list of taps. A convolution has one phase, a transposed one as many
/// as its stride has positions.
struct TapPhase {
  /// Output pixel of grid cell (0, 0); cell (y, x) lies at origin + (y, x) * TapConvolution::step.
  Pair origin;
  Pair size;
  /// Input pixel of a tap for cell (0, 0); for cell (y, x) it moves by (y, x) * TapConvolution::stride.
  std::vector<Pair> taps;
  /// Packed weights [group][panel][tap][run][panel_columns].
  const float* panels = nullptr;
};

struct TapConvolution {
  const float* input = nullptr;
  float* output = nullptr;
  Shape input_shape;   // [N, H, W, C]
  Shape output_shape;  // [N, OH, OW, C]
  Pair stride;
  Pair step{1, 1};
  int64_t groups = 1;
  /// Neighbouring input pixels (along x, all channels) that one tap covers.
  int64_t tap_pixels = 1;
  std::span<const TapPhase> phases;
  /// Per output channel, or null.
  const float* scale = nullptr;
  const float* bias = nullptr;
  /// Of the output's shape, or null.
  const float* residual = nullptr;
  Activation activation = Activation::none;
  /// Images without work are skipped.
  ValidRows images;

  int64_t group_channels() const { return input_shape[3] / groups; }
  int64_t group_columns() const { return output_shape[3] / groups; }
  /// Contiguous values a tap.
  int64_t run() const { return tap_pixels * group_channels(); }
};

/// Bytes that run_taps needs; `taps`: the most taps of a phase.
size_t tap_workspace(int64_t taps, int64_t tap_pixels, int64_t run, int64_t groups, int threads);

/// Needs tap_workspace(taps, ...) bytes.
void run_taps(const TapConvolution& convolution, const GemmKernels& kernels, const KernelContext& context);

/// One input and one output channel a group, tap_pixels 1; `panels` of a phase are [tap][channel]. Needs
/// depthwise_workspace(taps, ...) bytes.
void run_depthwise(const TapConvolution& convolution, const GemmKernels& kernels, const KernelContext& context);
size_t depthwise_workspace(int64_t taps, int threads);

}  // namespace instaseg::cpu
