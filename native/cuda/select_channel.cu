// selectChannel, variants:
//   simt  one value a thread: of every pixel only the sector with its row's channel is read. The sigmoid is
//         exact_sigmoid, the CPU's bits; f16 and bf16 are widened, the output is f32
// A label outside the channels leaves its row as it was and is reported (cuda/fault.h).
#include "ops/select_channel.h"

#include "cuda/fault.h"
#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "ops/decision_math.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;

template <class T>
__global__ void __launch_bounds__(kBlock)
    select_kernel(const T* __restrict__ input, const int32_t* __restrict__ labels, float* __restrict__ output,
                  int64_t count, Divider pixels, int64_t channels, bool sigmoid, ValidRows rows, uint64_t* fault) {
  for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
    const Divider::Split at = pixels.split(i);
    if (!rows.contains(at.quotient)) continue;
    const int64_t label = labels[at.quotient];
    if (!(label >= 0 && label < channels)) {
      if (at.remainder == 0) report_fault(fault, at.quotient, static_cast<int32_t>(label));
      continue;
    }
    const float value = to_float(input[i * channels + label]);
    output[i] = sigmoid ? exact_sigmoid(value) : value;
  }
}

void run(const SelectChannel& op, const KernelContext& context) {
  const Shape& in = context.inputs[0].shape;
  const int64_t count = context.outputs[0].elements();
  with_float_type(context.inputs[0].dtype, [&]<class T>() {
    launch(context, {.grid = blocks_for(count, kBlock), .block = kBlock}, select_kernel<T>,
           context.inputs[0].as<const T>(), context.inputs[1].i32(), context.outputs[0].as<float>(), count,
           Divider(in[1] * in[2]), in[3], op.sigmoid, ValidRows(in[0], input_or_absent(context, 2)), context.fault);
  });
}

void explain(const SelectChannel&, const Specs& inputs, uint64_t word) {
  const Fault fault(word);
  fail(ErrorCode::argument, SelectChannel::name, ": label ", fault.value, " of row ", fault.element, " is outside the ",
       inputs[0].shape[3], " channels");
}

const KernelRegistrations<SelectChannel> simt(kFloatTypes,
                                              {.variant = "simt", .rank = 10, .run = run, .explain = explain});

}  // namespace
}  // namespace instaseg::cuda
