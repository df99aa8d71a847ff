// finiteRows, variants:
//   simt  one warp a row tests its values, over the whole GPU; then one block an image numbers the rows that passed
//         (prefix sums, 1024 rows at a time). Two launches, since one block an image would leave a GPU idle while it
//         reads the values
#include "ops/finite_rows.h"

#include "cuda/block.h"
#include "cuda/launch.h"
#include "cuda/rows.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;
// Threads that number the rows of an image.
constexpr int kScan = 1024;

// The values of an input, by their bits.
struct Values {
  explicit Values(const TensorView& view)
      : bits(view.as<const uint32_t>()), width(view.shape.elements(2, view.shape.rank())) {}

  // Of those that the caller's lane looks at.
  __device__ __forceinline__ bool finite(int64_t row) const {
    // NaN and infinities are what has all bits of the exponent.
    constexpr uint32_t kExponent = 0x7f800000;
    bool result = true;
    for (int64_t i = lane_index(); i < width; i += 32) result &= (bits[row * width + i] & kExponent) != kExponent;
    return result;
  }

  const uint32_t* bits;
  int64_t width;
};

__global__ void __launch_bounds__(kBlock)
    test_kernel(Values boxes, Values scores, ValidRows valid, int64_t rows, uint8_t* __restrict__ finite) {
  const int64_t step = int64_t{gridDim.x} * warp_count();
  for (int64_t row = int64_t{blockIdx.x} * warp_count() + warp_index(); row < rows; row += step) {
    const bool passes = valid.contains(row) && __all_sync(kAllLanes, boxes.finite(row) && scores.finite(row));
    if (lane_index() == 0) finite[row] = passes;
  }
}

__global__ void __launch_bounds__(kScan) number_kernel(const uint8_t* __restrict__ finite, int64_t capacity,
                                                       int32_t* __restrict__ indices, int32_t* __restrict__ counts) {
  const int64_t image = blockIdx.x;
  int32_t kept = 0;
  for (int64_t first = 0; first < capacity; first += kScan) {
    const int64_t k = first + threadIdx.x;
    const bool keep = k < capacity && finite[image * capacity + k];
    int32_t found;
    const int32_t before = block_prefix_sum(keep ? 1 : 0, found);
    if (keep) indices[image * capacity + kept + before] = static_cast<int32_t>(k);
    kept += found;
  }
  if (threadIdx.x == 0) counts[image] = kept;
}

void run(const FiniteRows&, const KernelContext& context) {
  const int64_t images = context.inputs[0].shape[0];
  const int64_t capacity = context.inputs[0].shape[1];
  const int64_t rows = images * capacity;
  uint8_t* finite = reinterpret_cast<uint8_t*>(context.workspace);
  launch(context, {.grid = blocks_for(rows, kBlock / 32), .block = kBlock}, test_kernel, Values(context.inputs[0]),
         Values(context.inputs[1]), ValidRows(rows, input_or_absent(context, 2)), rows, finite);
  launch(context, {.grid = static_cast<unsigned>(images), .block = kScan}, number_kernel, finite, capacity,
         context.outputs[0].as<int32_t>(), context.outputs[1].as<int32_t>());
}

size_t workspace(const FiniteRows&, const Specs& inputs, const Specs&, int) {
  return static_cast<size_t>(inputs[0].shape[0] * inputs[0].shape[1]);
}

const KernelRegistration<FiniteRows> simt_row{
    {.variant = "simt", .device = DeviceKind::cuda, .rank = 10, .workspace = workspace, .run = run}};

}  // namespace
}  // namespace instaseg::cuda
