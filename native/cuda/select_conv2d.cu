// selectConv2d, variants:
//   simt  one warp a pixel, its lanes along the input channels, so a pixel is read once and in whole sectors; the
//         weights as they are. Sums in f32; f16 and bf16 are widened, the output is f32, the sigmoid exact_sigmoid
// A label outside the channels leaves its row as it was and is reported (cuda/fault.h).
#include "ops/select_conv2d.h"

#include "cuda/fault.h"
#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "ops/decision_math.h"

namespace instaseg::cuda {
namespace {

using In = SelectConv2d::Input;

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / 32;

template <class T>
__global__ void __launch_bounds__(kBlock)
    select_conv_kernel(const T* __restrict__ input, const float* __restrict__ weight,
                       const int32_t* __restrict__ labels, const float* __restrict__ bias, float* __restrict__ output,
                       int64_t count, Divider pixels, int64_t depth, int64_t channels, bool sigmoid, ValidRows rows,
                       uint64_t* fault) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t first = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  for (int64_t i = first; i < count; i += int64_t{gridDim.x} * kWarps) {
    const Divider::Split at = pixels.split(i);
    if (!rows.contains(at.quotient)) continue;
    const int64_t label = labels[at.quotient];
    if (!(label >= 0 && label < channels)) {
      if (at.remainder == 0 && lane == 0) report_fault(fault, at.quotient, static_cast<int32_t>(label));
      continue;
    }
    float sum = 0.0f;
    for (int64_t k = lane; k < depth; k += 32) {
      sum = __fmaf_rn(to_float(input[i * depth + k]), weight[label * depth + k], sum);
    }
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (bias) sum += bias[label];
    if (lane == 0) output[i] = sigmoid ? exact_sigmoid(sum) : sum;
  }
}

void run(const SelectConv2d& op, const KernelContext& context) {
  const Shape& x = context.inputs[In::kInput].shape;
  const int64_t count = context.outputs[0].elements();
  with_float_type(context.inputs[In::kInput].dtype, [&]<class T>() {
    launch(context, {.grid = blocks_for(count, kWarps), .block = kBlock}, select_conv_kernel<T>,
           context.inputs[In::kInput].as<const T>(), context.inputs[In::kWeight].f32(),
           context.inputs[In::kLabels].i32(), input_or_absent(context, In::kBias).f32(), context.outputs[0].as<float>(),
           count, Divider(x[1] * x[2]), x[3], context.inputs[In::kWeight].shape[0], op.sigmoid,
           ValidRows(x[0], input_or_absent(context, In::kCounts)), context.fault);
  });
}

void explain(const SelectConv2d&, const Specs& inputs, uint64_t word) {
  const Fault fault(word);
  fail(ErrorCode::argument, SelectConv2d::name, ": label ", fault.value, " of row ", fault.element, " is outside the ",
       inputs[In::kWeight].shape[0], " channels");
}

const KernelRegistrations<SelectConv2d> simt(kFloatTypes,
                                             {.variant = "simt", .rank = 10, .run = run, .explain = explain});

}  // namespace
}  // namespace instaseg::cuda
