// anchors, variants:
//   simt  one anchor, 16 bytes, a thread; the base anchors travel with the launch. The CPU's bits
#include "ops/anchors.h"

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;
// Base anchors of one launch; those beyond go by further launches.
constexpr int64_t kBase = 32;

struct Base {
  float corners[kBase][4];
};

struct Grid {
  Divider columns;
  int64_t stride_y, stride_x;
  double offset;
};

// Anchors [begin, begin + part.divisor()) of the `anchors` of every cell.
__global__ void __launch_bounds__(kBlock) anchors_kernel(float* __restrict__ output, int64_t count, Grid grid,
                                                         Divider part, Base base, int64_t begin, int64_t anchors) {
  for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
    const Divider::Split anchor = part.split(i);
    const Divider::Split cell = grid.columns.split(anchor.quotient);
    const float y = static_cast<float>(static_cast<double>(cell.quotient * grid.stride_y) + grid.offset);
    const float x = static_cast<float>(static_cast<double>(cell.remainder * grid.stride_x) + grid.offset);
    const float* corners = base.corners[anchor.remainder];
    const Vec<float, 4> box{{x + corners[0], y + corners[1], x + corners[2], y + corners[3]}};
    store_vec(output + (anchor.quotient * anchors + begin + anchor.remainder) * 4, box);
  }
}

void run(const Anchors& op, const KernelContext& context) {
  const Grid grid{Divider(op.grid.x), op.stride.y, op.stride.x, op.offset};
  for (int64_t begin = 0; begin < op.anchors(); begin += kBase) {
    const int64_t part = std::min(kBase, op.anchors() - begin);
    Base base;
    std::copy_n(op.base.begin() + begin * 4, part * 4, &base.corners[0][0]);
    const int64_t count = op.grid.y * op.grid.x * part;
    launch(context, {.grid = blocks_for(count, kBlock), .block = kBlock}, anchors_kernel,
           context.outputs[0].as<float>(), count, grid, Divider(part), base, begin, op.anchors());
  }
}

const KernelRegistrations<Anchors> simt({DType::f32}, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
