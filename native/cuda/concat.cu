// concat, variants:
//   simt  one launch an input: its runs go to their places in the output as bits, in units of up to 16 bytes
#include "ops/concat.h"

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/units.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;

// Runs of `run` units, `stride` units apart in the output.
template <class T>
__global__ void __launch_bounds__(kBlock)
    runs_kernel(const T* __restrict__ from, T* __restrict__ to, int64_t units, Divider run, int64_t stride) {
  for (int64_t i = grid_thread(); i < units; i += grid_threads()) {
    const Divider::Split at = run.split(i);
    move_unit(to + at.quotient * stride + at.remainder, from + i);
  }
}

void run(const Concat& op, const KernelContext& context) {
  const TensorView& output = context.outputs[0];
  if (output.elements() == 0) return;
  const int64_t outer = output.shape.elements(0, op.resolved_axis(output.shape));
  const int64_t stride = output.bytes() / outer;
  char* to = output.as<char>();
  for (const TensorView& input : context.inputs) {
    const int64_t length = input.bytes() / outer;
    const int64_t divisor = std::gcd(std::gcd(length, stride), std::gcd(alignment_of(input.data), alignment_of(to)));
    with_unit(divisor, [&]<class T>() {
      const int64_t units = input.bytes() / T::kBytes;
      launch(context, {.grid = blocks_for(units, kBlock), .block = kBlock}, runs_kernel<T>, input.as<const T>(),
             reinterpret_cast<T*>(to), units, Divider(length / T::kBytes), stride / T::kBytes);
    });
    to += length;
  }
}

const KernelRegistrations<Concat> simt(kAllTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
