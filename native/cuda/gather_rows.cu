// gatherRows, variants:
//   simt  one unit of up to 16 bytes of a row a thread; bits are moved
// An index outside leaves its row as it was and is reported (cuda/fault.h).
#include "ops/gather_rows.h"

#include "cuda/fault.h"
#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/units.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;

struct Source {
  int64_t candidates;
  /// Rows between the images of the input; 0 where one serves all.
  int64_t image_rows;
  Divider kept;
};

template <class T>
__global__ void __launch_bounds__(kBlock)
    gather_kernel(const T* __restrict__ input, const int32_t* __restrict__ indices, T* __restrict__ output,
                  int64_t units, Divider width, Source source, ValidRows rows, uint64_t* fault) {
  for (int64_t i = grid_thread(); i < units; i += grid_threads()) {
    const Divider::Split at = width.split(i);
    if (!rows.contains(at.quotient)) continue;
    const int64_t index = indices[at.quotient];
    if (!(index >= 0 && index < source.candidates)) {
      if (at.remainder == 0) report_fault(fault, at.quotient, static_cast<int32_t>(index));
      continue;
    }
    const int64_t row = source.kept.quotient(at.quotient) * source.image_rows + index;
    move_unit(output + i, input + row * width.divisor() + at.remainder);
  }
}

void run(const GatherRows&, const KernelContext& context) {
  const TensorView& input = context.inputs[0];
  const TensorView& output = context.outputs[0];
  const int64_t rows = context.inputs[1].elements();
  if (output.elements() == 0) return;
  const int64_t row = output.bytes() / rows;
  const Source source{input.shape[1], input.shape[0] == 1 ? 0 : input.shape[1], Divider(context.inputs[1].shape[1])};
  const int64_t divisor = std::gcd(row, std::gcd(alignment_of(input.data), alignment_of(output.data)));
  with_unit(divisor, [&]<class T>() {
    const int64_t units = output.bytes() / T::kBytes;
    launch(context, {.grid = blocks_for(units, kBlock), .block = kBlock}, gather_kernel<T>, input.as<const T>(),
           context.inputs[1].i32(), output.as<T>(), units, Divider(row / T::kBytes), source,
           ValidRows(rows, input_or_absent(context, 2)), context.fault);
  });
}

void explain(const GatherRows&, const Specs& inputs, uint64_t word) {
  const Fault fault(word);
  fail(ErrorCode::argument, GatherRows::name, ": index ", fault.value, " of image ", fault.element / inputs[1].shape[1],
       " is outside the ", inputs[0].shape[1], " rows of the input");
}

const KernelRegistrations<GatherRows> simt({DType::f32, DType::f16, DType::bf16, DType::i32},
                                           {.variant = "simt", .rank = 10, .run = run, .explain = explain});

}  // namespace
}  // namespace instaseg::cuda
