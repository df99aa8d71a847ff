// slice, variants:
//   reference  one element at a time
//   baseline   memcpy of contiguous runs over all threads; there is no avx2 row, as memcpy chooses by itself
#include "ops/slice.h"

#include <cstring>

#include "cpu/copy.h"

namespace instaseg::cpu {
namespace {

void reference(const Slice& op, const KernelContext& context) {
  const TensorView& input = context.inputs[0];
  const TensorView& output = context.outputs[0];
  const size_t element = size_of(output.dtype);
  for (int64_t i = 0; i < output.elements(); ++i) {
    int64_t rest = i;
    int64_t stride = 1;
    int64_t from = 0;
    for (int axis = output.shape.rank() - 1; axis >= 0; --axis) {
      from += (op.begin[static_cast<size_t>(axis)] + rest % output.shape[axis]) * stride;
      rest /= output.shape[axis];
      stride *= input.shape[axis];
    }
    std::memcpy(output.as<char>() + i * element, input.as<char>() + from * element, element);
  }
}

void copies(const Slice& op, const KernelContext& context) {
  const TensorView& output = context.outputs[0];
  if (output.elements() == 0) return;
  const int64_t element = static_cast<int64_t>(size_of(output.dtype));
  const BlockRuns block(context.inputs[0].shape, output.shape, op.begin.data());
  char* to = output.as<char>();
  const char* from = context.inputs[0].as<char>();
  const int64_t run = block.length() * element;
  copy_runs(context, block.runs(), run, [&](int64_t i) { return Run{to + i * run, from + block.start(i) * element}; });
}

const KernelRegistration<Slice> reference_f32{{.dtype = DType::f32, .run = reference}};
const KernelRegistration<Slice> reference_i32{{.dtype = DType::i32, .run = reference}};
const KernelRegistration<Slice> reference_u8{{.dtype = DType::u8, .run = reference}};
const KernelRegistration<Slice> baseline_f32{{.variant = "baseline", .dtype = DType::f32, .rank = 10, .run = copies}};
const KernelRegistration<Slice> baseline_i32{{.variant = "baseline", .dtype = DType::i32, .rank = 10, .run = copies}};
const KernelRegistration<Slice> baseline_u8{{.variant = "baseline", .dtype = DType::u8, .rank = 10, .run = copies}};

}  // namespace
}  // namespace instaseg::cpu
