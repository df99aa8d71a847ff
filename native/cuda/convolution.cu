// How a Convolution runs: as matrix products on packed weights, or, depthwise, directly: one input channel an output
// channel leaves nothing for a matrix product to share, so threads own runs of channels of a pixel and read them tap by
// tap.
#include "cuda/convolution.h"

namespace instaseg::cuda {
namespace {

constexpr int kDepthwiseChunks = 32;
constexpr int kDepthwiseRows = 8;

/// Grid: x rows of 8 cells, y 32 runs of Size channels, z phases. Weights are f32 [phase][tap][channel].
template <class T, int Size>
__global__ void __launch_bounds__(kDepthwiseChunks* kDepthwiseRows) depthwise_kernel(const GemmProblem problem) {
  const GemmPhase& phase = problem.phase[blockIdx.z];
  const int channel = static_cast<int>(blockIdx.y * kDepthwiseChunks + threadIdx.x) * Size;
  const int row = static_cast<int>(blockIdx.x * kDepthwiseRows + threadIdx.y);
  if (row >= phase.rows || channel >= problem.channels) return;
  const int image = phase.cells.quotient(row);
  if (!problem.images.valid(image)) return;
  const int cell = row - image * phase.cells.divisor();
  const int cell_y = phase.width.quotient(cell);
  const int cell_x = cell - cell_y * phase.width.divisor();
  const T* input = static_cast<const T*>(problem.input) + image * problem.image_elements + channel;
  const float* weights =
      reinterpret_cast<const float*>(static_cast<const char*>(problem.weights) + phase.weights) + channel;
  float sum[Size];
#pragma unroll
  for (int i = 0; i < Size; ++i) sum[i] = 0.0f;
  for (int tap_y = 0; tap_y < phase.y.count; ++tap_y) {
    const int y = cell_y * problem.stride_y + phase.y.first + tap_y * phase.y.step;
    for (int tap_x = 0; tap_x < phase.x.count; ++tap_x, weights += problem.channels) {
      const int x = cell_x * problem.stride_x + phase.x.first + tap_x * phase.x.step;
      const bool inside = y >= 0 && y < problem.height && x >= 0 && x < problem.width;
      if (!inside) continue;
      const Vec<T, Size> values = load_vec<Size>(input + (y * problem.width + x) * problem.channels);
#pragma unroll
      for (int i = 0; i < Size; ++i) sum[i] = __fmaf_rn(to_float(values[i]), __ldg(weights + i), sum[i]);
    }
  }
  const int64_t pixel =
      (static_cast<int64_t>(image) * problem.output_height + cell_y * problem.step_y + phase.origin_y) *
          problem.output_width +
      cell_x * problem.step_x + phase.origin_x;
  const EpilogueColumns<T, Size> epilogue(problem.epilogue, channel, Size);
  epilogue.store(static_cast<T*>(problem.output), pixel * problem.output_channels, sum, true);
}

template <class T, int Size>
void launch_depthwise(const GemmProblem& problem, const KernelContext& context) {
  int64_t rows = 0;
  for (int i = 0; i < problem.phases; ++i) rows = std::max<int64_t>(rows, problem.phase[i].rows);
  launch(context,
         {.grid = dim3(static_cast<unsigned>(divide_up(rows, kDepthwiseRows)),
                       static_cast<unsigned>(divide_up(problem.channels, kDepthwiseChunks * Size)),
                       static_cast<unsigned>(problem.phases)),
          .block = dim3(kDepthwiseChunks, kDepthwiseRows)},
         depthwise_kernel<T, Size>, problem);
}

}  // namespace

void run_convolution(const Convolution& conv, const ConvolutionCall& call, GemmMath math, const GemmPlan& plan,
                     const KernelContext& context) {
  const DType dtype = call.input.dtype;
  const auto phase_bytes = [&](const PhaseAxis& y, const PhaseAxis& x) {
    return kTileBytes * phase_k_tiles(conv, y, x, dtype) * conv.groups * padded_columns(conv);
  };
  GemmProblem whole;
  for_each_problem(conv, call, context.packed, phase_bytes, [&](GemmProblem& problem) {
    problem.splits = plan.splits;
    problem.partial = reinterpret_cast<float*>(context.workspace);
    run_gemm(dtype, math, plan.tile, problem, context);
    whole = problem;
  });
  reduce_splits(dtype, whole, context);
}

void run_depthwise(const Convolution& conv, const ConvolutionCall& call, const KernelContext& context) {
  const auto phase_bytes = [&](const PhaseAxis& y, const PhaseAxis& x) {
    return static_cast<int64_t>(sizeof(float)) * y.taps.count * x.taps.count * conv.groups;
  };
  for_each_problem(conv, call, context.packed, phase_bytes, [&](const GemmProblem& problem) {
    with_float_type(call.input.dtype, [&]<class T>() {
      if (problem.channels % kChunk<T> == 0) {
        launch_depthwise<T, kChunk<T>>(problem, context);
      } else {
        launch_depthwise<T, 1>(problem, context);
      }
    });
  });
}

}  // namespace instaseg::cuda
