// decodePriors, variants:
//   simt  one box a thread. An index outside the priors leaves its box as it was and is reported (cuda/fault.h)
#include "ops/decode_priors.h"

#include "cuda/boxes.h"
#include "cuda/fault.h"
#include "cuda/launch.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 256;

/// `decoded` rows an image out of `candidates`; indices null: all of them.
__global__ void decode_priors_kernel(DecodePriors op, const Box* __restrict__ loc, const Box* __restrict__ priors,
                                     const int32_t* __restrict__ indices, Box* __restrict__ output, int64_t count,
                                     int64_t decoded, int64_t candidates, RowCounts counts, uint64_t* fault) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    if (!counts.valid(i)) continue;
    const int64_t image = i / decoded;
    const int64_t prior = indices ? indices[i] : i - image * decoded;
    if (!(prior >= 0 && prior < candidates)) {
      report_fault(fault, i, static_cast<int32_t>(prior));
      continue;
    }
    store_box(output, i, op.decode(load_box(priors, prior), load_box(loc, image * candidates + prior)));
  }
}

void run(const DecodePriors& op, const KernelContext& context) {
  const TensorView indices = input_or_absent(context, 2);
  const int64_t count = context.outputs[0].elements() / 4;
  launch(context, {.grid = blocks_for(count, kBlock), .block = kBlock}, decode_priors_kernel, op,
         context.inputs[0].as<const Box>(), context.inputs[1].as<const Box>(), indices ? indices.i32() : nullptr,
         context.outputs[0].as<Box>(), count, context.outputs[0].shape[1], context.inputs[0].shape[1],
         RowCounts::of_rows(count, input_or_absent(context, 3)), context.fault);
}

void explain(const DecodePriors&, const Specs& inputs, uint64_t word) {
  const Fault fault(word);
  fail(ErrorCode::argument, DecodePriors::name, ": index ", fault.value, " of image ",
       fault.element / inputs[2].shape[1], " is outside the ", inputs[0].shape[1], " priors");
}

const KernelRegistration<DecodePriors> simt_row{
    {.variant = "simt", .device = DeviceKind::cuda, .rank = 10, .run = run, .explain = explain}};

}  // namespace
}  // namespace instaseg::cuda
