// sort, variants:
//   merge  tiles of 2,048 in shared memory, then one launch a doubling (cuda/merge_sort.h): stable without a stable
//          step, since pairs of key and index are unique. Rows of up to 2,048 take one launch
#include "ops/sort.h"

#include "cuda/merge_sort.h"

namespace instaseg::cuda {
namespace {

size_t workspace(const Sort&, const Specs& in, const Specs&, int) {
  return merge_sort_workspace(in[0].shape[0], in[0].shape[1]);
}

void run(const Sort& op, const KernelContext& context) {
  const TensorView& input = context.inputs[0];
  merge_sort(context, {.input = input.f32(),
                       .rows = input.shape[0],
                       .counts = {nullptr, input.shape[1]},
                       .descending = op.descending,
                       .kept = input.shape[1],
                       .values = context.outputs[0].as<float>(),
                       .indices = context.outputs[1].as<int32_t>()});
}

const KernelRegistration<Sort> merge_row{
    {.variant = "merge", .device = DeviceKind::cuda, .rank = 10, .workspace = workspace, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
