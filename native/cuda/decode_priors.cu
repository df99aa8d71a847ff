// decodePriors, variants:
//   simt  one box a thread. Kernels cannot raise errors: the box of an index outside the priors becomes NaN
#include "ops/decode_priors.h"

#include "cuda/boxes.h"
#include "cuda/launch.h"

namespace instaseg::cuda {
namespace {

constexpr unsigned kBlock = 256;

/// `decoded` rows an image out of `candidates`; indices null: all of them.
__global__ void decode_priors_kernel(DecodePriors op, const Box* __restrict__ loc, const Box* __restrict__ priors,
                                     const int32_t* __restrict__ indices, Box* __restrict__ output, int64_t count,
                                     int64_t decoded, int64_t candidates, RowCounts counts) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    if (!counts.valid(i)) continue;
    const int64_t image = i / decoded;
    const int64_t prior = indices ? indices[i] : i - image * decoded;
    Box box{NAN, NAN, NAN, NAN};
    if (prior >= 0 && prior < candidates) {
      box = op.decode(load_box(priors, prior), load_box(loc, image * candidates + prior));
    }
    store_box(output, i, box);
  }
}

void run(const DecodePriors& op, const KernelContext& context) {
  const TensorView indices = input_or_absent(context, 2);
  const int64_t count = context.outputs[0].elements() / 4;
  launch(context, {.grid = blocks_for(count, kBlock), .block = kBlock}, decode_priors_kernel, op,
         context.inputs[0].as<const Box>(), context.inputs[1].as<const Box>(), indices ? indices.i32() : nullptr,
         context.outputs[0].as<Box>(), count, context.outputs[0].shape[1], context.inputs[0].shape[1],
         RowCounts::of_rows(count, input_or_absent(context, 3)));
}

const KernelRegistration<DecodePriors> simt_row{
    {.variant = "simt", .device = DeviceKind::cuda, .rank = 10, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
