// priors, variants:
//   simt  one prior, 16 bytes, a thread; widths and heights travel with the launch. The CPU's bits
#include "ops/priors.h"

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;
// Priors of a cell in one launch; those beyond go by further launches.
constexpr int64_t kSides = 64;

struct Sides {
  float sides[kSides][2];
};

__device__ __forceinline__ float centre(int64_t i, int64_t cells) {
  return static_cast<float>((static_cast<double>(i) + 0.5) / static_cast<double>(cells));
}

// Priors [begin, begin + part.divisor()) of the `priors` of every cell.
__global__ void __launch_bounds__(kBlock)
    priors_kernel(float* __restrict__ output, int64_t count, int64_t rows, Divider columns, Divider part, Sides sides,
                  int64_t begin, int64_t priors) {
  for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
    const Divider::Split prior = part.split(i);
    const Divider::Split cell = columns.split(prior.quotient);
    const float* side = sides.sides[prior.remainder];
    const Vec<float, 4> box{{centre(cell.remainder, columns.divisor()), centre(cell.quotient, rows), side[0], side[1]}};
    store_vec(output + (prior.quotient * priors + begin + prior.remainder) * 4, box);
  }
}

void run(const Priors& op, const KernelContext& context) {
  for (int64_t begin = 0; begin < op.priors(); begin += kSides) {
    const int64_t part = std::min(kSides, op.priors() - begin);
    Sides sides;
    std::copy_n(op.sides.begin() + begin * 2, part * 2, &sides.sides[0][0]);
    const int64_t count = op.grid.y * op.grid.x * part;
    launch(context, {.grid = blocks_for(count, kBlock), .block = kBlock}, priors_kernel, context.outputs[0].as<float>(),
           count, op.grid.y, Divider(op.grid.x), Divider(part), sides, begin, op.priors());
  }
}

const KernelRegistrations<Priors> simt({DType::f32}, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
