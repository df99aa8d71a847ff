// maxUnpool2d, variants:
//   simt  three kernels: no output element has an owner; every input claims the element that its index names, the
//   latest
//         input position winning by an integer maximum; every output element takes its owner's value or 0. The result
//         does not depend on the order of arrival, and the output is written once, in order
// An index outside is skipped and reported (cuda/fault.h).
#include "ops/max_unpool2d.h"

#include "cuda/fault.h"
#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;

__global__ void __launch_bounds__(kBlock) disown_kernel(int32_t* __restrict__ owners, int64_t count) {
  for (int64_t i = grid_thread(); i < count; i += grid_threads()) owners[i] = -1;
}

// `channels` divides elements into pixels, `image` pixels into images.
__global__ void __launch_bounds__(kBlock)
    claim_kernel(const int32_t* __restrict__ indices, int32_t* __restrict__ owners, int64_t count, Divider channels,
                 Divider image, int64_t plane, uint64_t* fault) {
  for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
    const int64_t index = indices[i];
    if (!(index >= 0 && index < plane)) {
      report_fault(fault, i, static_cast<int32_t>(index));
      continue;
    }
    const Divider::Split pixel = channels.split(i);
    const Divider::Split at = image.split(pixel.quotient);
    atomicMax(owners + (at.quotient * plane + index) * channels.divisor() + pixel.remainder,
              static_cast<int32_t>(at.remainder));
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock)
    collect_kernel(const T* __restrict__ input, const int32_t* __restrict__ owners, T* __restrict__ output,
                   int64_t count, Divider channels, Divider plane, int64_t pixels) {
  for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
    const int64_t owner = owners[i];
    const Divider::Split at = channels.split(i);
    const int64_t n = plane.quotient(at.quotient);
    output[i] = owner < 0 ? from_float<T>(0.0f) : input[(n * pixels + owner) * channels.divisor() + at.remainder];
  }
}

void run(const MaxUnpool2d&, const KernelContext& context) {
  const TensorView& input = context.inputs[0];
  const TensorView& output = context.outputs[0];
  const int64_t outputs = output.elements();
  if (outputs == 0) return;
  int32_t* owners = reinterpret_cast<int32_t*>(context.workspace);
  const Divider channels(input.shape[3]);
  const int64_t pixels = input.shape[1] * input.shape[2];
  const int64_t plane = output.shape[1] * output.shape[2];
  launch(context, {.grid = blocks_for(outputs, kBlock), .block = kBlock}, disown_kernel, owners, outputs);
  launch(context, {.grid = blocks_for(input.elements(), kBlock), .block = kBlock}, claim_kernel,
         context.inputs[1].i32(), owners, input.elements(), channels, Divider(pixels), plane, context.fault);
  with_float_type(input.dtype, [&]<class T>() {
    launch(context, {.grid = blocks_for(outputs, kBlock), .block = kBlock}, collect_kernel<T>, input.as<const T>(),
           owners, output.as<T>(), outputs, channels, Divider(plane), pixels);
  });
}

// Pixels of one image fit 31 bits.
bool supports(const MaxUnpool2d&, const Specs& inputs) { return inputs[0].shape[1] * inputs[0].shape[2] <= INT32_MAX; }

size_t workspace(const MaxUnpool2d&, const Specs&, const Specs& outputs, int) {
  return static_cast<size_t>(outputs[0].shape.elements()) * sizeof(int32_t);
}

void explain(const MaxUnpool2d& op, const Specs& inputs, uint64_t word) {
  const Fault fault(word);
  const Shape out = op.infer(inputs)[0].shape;
  fail(ErrorCode::argument, MaxUnpool2d::name, ": index ", fault.value, " at element ", fault.element,
       " is outside the output plane of ", out[1], " x ", out[2]);
}

const KernelRegistrations<MaxUnpool2d> simt(
    kFloatTypes,
    {.variant = "simt", .rank = 10, .supports = supports, .workspace = workspace, .run = run, .explain = explain});

}  // namespace
}  // namespace instaseg::cuda
