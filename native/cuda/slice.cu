// slice, variants:
//   simt  every unit of the output (up to 16 bytes) fetches its place in the input; bits are moved
#include "ops/slice.h"

#include "cuda/rows.h"
#include "cuda/window_copy.h"

namespace instaseg::cuda {
namespace {

void run(const Slice& op, const KernelContext& context) { launch_window_copy(context, op.begin.data(), 0); }

const KernelRegistrations<Slice> simt(kAllTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
