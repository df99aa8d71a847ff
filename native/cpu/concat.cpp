// concat, variants:
//   reference  one element at a time, each looking up its input
//   baseline   memcpy of contiguous runs over all threads; there is no avx2 row, as memcpy chooses by itself
#include "ops/concat.h"

#include <cstring>

#include "cpu/copy.h"

namespace instaseg::cpu {
namespace {

void reference(const Concat& op, const KernelContext& context) {
  const TensorView& output = context.outputs[0];
  const int at = op.resolved_axis(output.shape);
  const int64_t inner = output.shape.elements(at + 1, output.shape.rank());
  const size_t element = size_of(output.dtype);
  for (int64_t i = 0; i < output.elements(); ++i) {
    const int64_t outer = i / inner / output.shape[at];
    int64_t k = i / inner % output.shape[at];
    size_t input = 0;
    while (k >= context.inputs[input].shape[at]) k -= context.inputs[input++].shape[at];
    const int64_t from = (outer * context.inputs[input].shape[at] + k) * inner + i % inner;
    std::memcpy(output.as<char>() + i * element, context.inputs[input].as<char>() + from * element, element);
  }
}

void copies(const Concat& op, const KernelContext& context) {
  const TensorView& output = context.outputs[0];
  if (output.elements() == 0) return;
  const int at = op.resolved_axis(output.shape);
  const int64_t outer = output.shape.elements(0, at);
  const int64_t row = output.bytes() / outer;
  char* to = output.as<char>();
  for (const TensorView& input : context.inputs) {
    const int64_t run = input.bytes() / outer;
    const char* from = input.as<char>();
    copy_runs(context, outer, run, [=](int64_t i) { return Run{to + i * row, from + i * run}; });
    to += run;
  }
}

const KernelRegistration<Concat> reference_f32{{.dtype = DType::f32, .run = reference}};
const KernelRegistration<Concat> reference_i32{{.dtype = DType::i32, .run = reference}};
const KernelRegistration<Concat> reference_u8{{.dtype = DType::u8, .run = reference}};
const KernelRegistration<Concat> baseline_f32{{.variant = "baseline", .dtype = DType::f32, .rank = 10, .run = copies}};
const KernelRegistration<Concat> baseline_i32{{.variant = "baseline", .dtype = DType::i32, .rank = 10, .run = copies}};
const KernelRegistration<Concat> baseline_u8{{.variant = "baseline", .dtype = DType::u8, .rank = 10, .run = copies}};

}  // namespace
}  // namespace instaseg::cpu
