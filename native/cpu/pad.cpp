// pad, variants:
//   reference  one element at a time
//   baseline   fills the output, then copies the input's contiguous runs into it, both over all threads; the inside is
//              written twice, which keeps it simple and costs little next to the copy. No avx2 row: memcpy and fill
#include "ops/pad.h"

#include <algorithm>

#include "cpu/copy.h"

namespace instaseg::cpu {
namespace {

template <class T>
void reference(const Pad& op, const KernelContext& context) {
  const TensorView& input = context.inputs[0];
  const TensorView& output = context.outputs[0];
  for (int64_t i = 0; i < output.elements(); ++i) {
    int64_t rest = i;
    int64_t stride = 1;
    int64_t from = 0;
    bool inside = true;
    for (int axis = output.shape.rank() - 1; axis >= 0; --axis) {
      const int64_t at = rest % output.shape[axis] - op.before[static_cast<size_t>(axis)];
      inside = inside && at >= 0 && at < input.shape[axis];
      from += at * stride;
      rest /= output.shape[axis];
      stride *= input.shape[axis];
    }
    output.as<T>()[i] = inside ? input.as<T>()[from] : static_cast<T>(op.value);
  }
}

template <class T>
void copies(const Pad& op, const KernelContext& context) {
  const TensorView& input = context.inputs[0];
  const TensorView& output = context.outputs[0];
  T* y = output.as<T>();
  const T value = static_cast<T>(op.value);
  context.parallel_for(output.elements(), 1 << 15,
                       [&](int64_t begin, int64_t end, int) { std::fill(y + begin, y + end, value); });
  if (input.elements() == 0) return;
  const BlockRuns block(output.shape, input.shape, op.before.data());
  const int64_t run = block.length() * static_cast<int64_t>(sizeof(T));
  copy_runs(context, block.runs(), run, [&](int64_t i) {
    return Run{reinterpret_cast<char*>(y + block.start(i)), input.as<char>() + i * run};
  });
}

const KernelRegistration<Pad> reference_f32{{.dtype = DType::f32, .run = reference<float>}};
const KernelRegistration<Pad> reference_i32{{.dtype = DType::i32, .run = reference<int32_t>}};
const KernelRegistration<Pad> reference_u8{{.dtype = DType::u8, .run = reference<uint8_t>}};
const KernelRegistration<Pad> baseline_f32{
    {.variant = "baseline", .dtype = DType::f32, .rank = 10, .run = copies<float>}};
const KernelRegistration<Pad> baseline_i32{
    {.variant = "baseline", .dtype = DType::i32, .rank = 10, .run = copies<int32_t>}};
const KernelRegistration<Pad> baseline_u8{
    {.variant = "baseline", .dtype = DType::u8, .rank = 10, .run = copies<uint8_t>}};

}  // namespace
}  // namespace instaseg::cpu
