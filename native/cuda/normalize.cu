// normalize, variants:
//   simt  one element a thread; mean and std travel with the launch. u8 and f32, the CPU's bits
#include "ops/normalize.h"

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"

namespace instaseg::cuda {
namespace {

constexpr int kBlock = 256;
// Channels of one launch; those beyond go by further launches.
constexpr int64_t kChannels = 128;

struct Statistics {
  float mean[kChannels];
  float std[kChannels];
};

// Channels [begin, begin + part.divisor()) of every pixel.
template <class T>
__global__ void __launch_bounds__(kBlock)
    normalize_kernel(const T* __restrict__ input, float* __restrict__ output, int64_t count, Divider part,
                     Statistics statistics, float scale, int64_t begin, int64_t channels, bool swap) {
  for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
    const Divider::Split at = part.split(i);
    const int64_t c = begin + at.remainder;
    const int64_t pixel = at.quotient * channels;
    const float value = static_cast<float>(input[pixel + (swap ? channels - 1 - c : c)]) * scale;
    output[pixel + c] = (value - statistics.mean[at.remainder]) / statistics.std[at.remainder];
  }
}

template <class T>
void run(const Normalize& op, const KernelContext& context) {
  const int64_t channels = context.inputs[0].shape[3];
  if (context.outputs[0].elements() == 0) return;
  const int64_t pixels = context.outputs[0].elements() / channels;
  for (int64_t begin = 0; begin < channels; begin += kChannels) {
    const int64_t part = std::min(kChannels, channels - begin);
    Statistics statistics;
    for (int64_t c = 0; c < part; ++c) {
      statistics.mean[c] = static_cast<float>(op.mean[static_cast<size_t>(begin + c)]);
      statistics.std[c] = static_cast<float>(op.std[static_cast<size_t>(begin + c)]);
    }
    launch(context, {.grid = blocks_for(pixels * part, kBlock), .block = kBlock}, normalize_kernel<T>,
           context.inputs[0].as<const T>(), context.outputs[0].as<float>(), pixels * part, Divider(part), statistics,
           static_cast<float>(op.scale), begin, channels, op.swap_channels);
  }
}

const KernelRegistrations<Normalize> simt_u8({DType::u8}, {.variant = "simt", .rank = 10, .run = run<uint8_t>});
const KernelRegistrations<Normalize> simt_f32({DType::f32}, {.variant = "simt", .rank = 10, .run = run<float>});

}  // namespace
}  // namespace instaseg::cuda
