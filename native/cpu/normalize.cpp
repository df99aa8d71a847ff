// normalize, variants:
//   reference  one element at a time
//   baseline   blocks of whole pixels over all threads: channels are brought into order by a table, then mean and std,
//              repeated to the length of a block, are applied by one vectorised loop. For x86-64 (or the target's
//              baseline)
//   avx2       the same, 8 lanes; the same bits
#include "ops/normalize.h"

#include <algorithm>

namespace instaseg::cpu {
namespace {

template <class T>
void reference(const Normalize& op, const KernelContext& context) {
  const int64_t channels = context.inputs[0].shape[3];
  const T* x = context.inputs[0].as<T>();
  for (int64_t i = 0; i < context.outputs[0].elements(); ++i) {
    const int64_t c = i % channels;
    const int64_t from = op.swap_channels ? i - c + channels - 1 - c : i;
    const float value = static_cast<float>(x[from]) * static_cast<float>(op.scale);
    context.outputs[0].as<float>()[i] = (value - static_cast<float>(op.mean[static_cast<size_t>(c)])) /
                                        static_cast<float>(op.std[static_cast<size_t>(c)]);
  }
}

// Whole pixels of about this many elements make a block.
constexpr int64_t kBlock = 256;
int64_t block_length(int64_t channels) { return (kBlock + channels - 1) / channels * channels; }

// Tables of one block: mean and std of every element, and (for swapped channels) the element of the input it takes.
template <class T>
INSTASEG_INLINE void block(const T* __restrict x, float* __restrict y, int64_t count, float scale, bool swap,
                           const float* __restrict mean, const float* __restrict std,
                           const int32_t* __restrict source) {
  if (swap) {
    for (int64_t i = 0; i < count; ++i) y[i] = static_cast<float>(x[source[i]]);
    for (int64_t i = 0; i < count; ++i) y[i] = (y[i] * scale - mean[i]) / std[i];
  } else {
    for (int64_t i = 0; i < count; ++i) y[i] = (static_cast<float>(x[i]) * scale - mean[i]) / std[i];
  }
}
template <class T>
using Block = void (*)(const T*, float*, int64_t, float, bool, const float*, const float*, const int32_t*);
template <class T>
void block_baseline(const T* x, float* y, int64_t count, float scale, bool swap, const float* mean, const float* std,
                    const int32_t* source) {
  block(x, y, count, scale, swap, mean, std, source);
}

size_t workspace(const Normalize&, const Specs& inputs, const Specs&, int) {
  const int64_t channels = inputs[0].shape[3];
  return channels ? static_cast<size_t>(block_length(channels)) * 3 * sizeof(float) : 0;
}

template <class T, Block<T> Function>
void parallel(const Normalize& op, const KernelContext& context) {
  const int64_t elements = context.outputs[0].elements();
  if (elements == 0) return;
  const int64_t channels = context.inputs[0].shape[3];
  const int64_t length = block_length(channels);
  float* mean = reinterpret_cast<float*>(context.workspace);
  float* std = mean + length;
  int32_t* source = reinterpret_cast<int32_t*>(std + length);
  for (int64_t i = 0; i < length; ++i) {
    const int64_t c = i % channels;
    mean[i] = static_cast<float>(op.mean[static_cast<size_t>(c)]);
    std[i] = static_cast<float>(op.std[static_cast<size_t>(c)]);
    source[i] = static_cast<int32_t>(i - c + channels - 1 - c);
  }
  const float scale = static_cast<float>(op.scale);
  const int64_t blocks = (elements + length - 1) / length;
  context.parallel_for(blocks, std::max<int64_t>(1, (1 << 14) / length), [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b) {
      Function(context.inputs[0].as<T>() + b * length, context.outputs[0].as<float>() + b * length,
               std::min(length, elements - b * length), scale, op.swap_channels, mean, std, source);
    }
  });
}

const KernelRegistration<Normalize> reference_u8{{.dtype = DType::u8, .run = reference<uint8_t>}};
const KernelRegistration<Normalize> reference_f32{{.dtype = DType::f32, .run = reference<float>}};
const KernelRegistration<Normalize> baseline_u8{{.variant = "baseline",
                                                 .dtype = DType::u8,
                                                 .rank = 10,
                                                 .workspace = workspace,
                                                 .run = parallel<uint8_t, block_baseline<uint8_t>>}};
const KernelRegistration<Normalize> baseline_f32{{.variant = "baseline",
                                                  .dtype = DType::f32,
                                                  .rank = 10,
                                                  .workspace = workspace,
                                                  .run = parallel<float, block_baseline<float>>}};
#ifdef INSTASEG_X86
template <class T>
INSTASEG_AVX2 void block_avx2(const T* x, float* y, int64_t count, float scale, bool swap, const float* mean,
                              const float* std, const int32_t* source) {
  block(x, y, count, scale, swap, mean, std, source);
}
const KernelRegistration<Normalize> avx2_u8{{.variant = "avx2",
                                             .dtype = DType::u8,
                                             .isa = Isa::avx2,
                                             .rank = 20,
                                             .workspace = workspace,
                                             .run = parallel<uint8_t, block_avx2<uint8_t>>}};
const KernelRegistration<Normalize> avx2_f32{{.variant = "avx2",
                                              .dtype = DType::f32,
                                              .isa = Isa::avx2,
                                              .rank = 20,
                                              .workspace = workspace,
                                              .run = parallel<float, block_avx2<float>>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
