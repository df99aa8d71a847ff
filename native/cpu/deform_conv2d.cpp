// deformConv2d, variants:
//   reference  scalar loops, every sample anew for each output channel
//   baseline   blocks of sampled pixels times packed weights through the GEMM kernel, 4 lanes
//   avx2       the same with 8 lanes and fused multiply-adds
//   avx512     16 lanes
// The fast variants work on blocks of output pixels. Where a pixel's taps fall (four corners and their weights, masked)
// is computed once for all channels; then, for one slice of k after the other, the taps are sampled, vectorised over
// channels, into a buffer that stays in the L2 cache while all weights pass over it. The whole matrix of samples never
// exists. Every output element is one chain of multiply-adds over k, whatever its block (see gemm.h).
//
// A sample outside (-1, H) x (-1, W) is 0, and so is one at NaN; a corner outside the image adds 0. A corner inside the
// image counts with weight 0 too, so that infinities spread as they do in torchvision.
#include "ops/deform_conv2d.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/gemm.h"
#include "cpu/gemm_units.h"

namespace instaseg::cpu {
namespace {

using In = DeformConv2d::Input;

/// One channel of an image, [H, W, channels].
struct Plane {
  const float* values;
  int64_t height;
  int64_t width;
  int64_t channels;

  float corner(int64_t y, int64_t x, float weight) const {
    if (y < 0 || y >= height || x < 0 || x >= width) return 0.0f;
    return weight * values[(y * width + x) * channels];
  }
  float sample(float y, float x, float mask) const {
    const bool inside = y > -1.0f && x > -1.0f && y < static_cast<float>(height) && x < static_cast<float>(width);
    if (!inside) return 0.0f;
    const auto top = static_cast<int64_t>(std::floor(y));
    const auto left = static_cast<int64_t>(std::floor(x));
    const float below = y - static_cast<float>(top);
    const float right = x - static_cast<float>(left);
    return corner(top, left, (1.0f - below) * (1.0f - right) * mask) +
           corner(top, left + 1, (1.0f - below) * right * mask) + corner(top + 1, left, below * (1.0f - right) * mask) +
           corner(top + 1, left + 1, below * right * mask);
  }
};

void reference(const DeformConv2d& op, const KernelContext& context) {
  const Shape& x = context.inputs[In::kInput].shape;
  const Shape& w = context.inputs[In::kWeight].shape;
  const Shape& offsets = context.inputs[In::kOffset].shape;
  const Shape& y = context.outputs[0].shape;
  const float* weight = context.inputs[In::kWeight].f32();
  const float* bias = context.inputs[In::kBias].f32();
  const float* scale = context.inputs[In::kScale].f32();
  const float* residual = context.inputs[In::kResidual].f32();
  const int64_t taps = w[2] * w[3];
  const int64_t offset_groups = op.offset_groups(w, offsets);
  for (int64_t i = 0; i < y.elements(); ++i) {
    const int64_t o = i % y[3];
    const int64_t pixel = i / y[3];
    const int64_t ox = pixel % y[2];
    const int64_t oy = pixel / y[2] % y[1];
    const float* image = context.inputs[In::kInput].f32() + pixel / (y[1] * y[2]) * x.elements(1, 4);
    const float* offset = context.inputs[In::kOffset].f32() + pixel * offsets[3];
    const float* mask = context.inputs[In::kMask].f32();
    if (mask) mask += pixel * offset_groups * taps;
    if (op.packed_mask) mask = offset + 2 * offset_groups * taps;
    float sum = 0.0f;
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t input_y = oy * op.stride.y - op.padding.y + tap / w[3] * op.dilation.y;
      const int64_t input_x = ox * op.stride.x - op.padding.x + tap % w[3] * op.dilation.x;
      for (int64_t c = 0; c < w[1]; ++c) {
        const int64_t channel = o / (y[3] / op.groups) * w[1] + c;
        const int64_t at = channel / (x[3] / offset_groups) * taps + tap;
        float modulation = mask ? mask[at] : 1.0f;
        if (op.sigmoid_mask) modulation = activate_reference(Activation::sigmoid, modulation);
        const Plane plane{image + channel, x[1], x[2], x[3]};
        sum += plane.sample(static_cast<float>(input_y) + offset[2 * at],
                            static_cast<float>(input_x) + offset[2 * at + 1], modulation) *
               weight[(o * w[1] + c) * taps + tap];
      }
    }
    float value = sum * (scale ? scale[o] : 1.0f) + (bias ? bias[o] : 0.0f);
    if (residual) value += residual[i];
    context.outputs[0].as<float>()[i] = activate_reference(op.activation, value);
  }
}

// Values of k in a slice: their weights for 16 output channels (16 KiB) stay in the L1 cache, and their samples in L2.
constexpr int64_t kSlice = 256;
// Values of k that small groups of channels share, so that sampling has enough channels to be vectorised over.
constexpr int64_t kGroupedSlice = 512;
// What placing and sampling a pixel costs, as a number of output channels.
constexpr double kColumnsToSample = 24;

/// Where one tap falls for one offset group: pixels (or zeros) and weights. The weight of zeros is 0.
struct Sample {
  const float* corner[4];
  float weight[4];
};

/// A part of k: some taps and, within a group of channels, some channels.
struct Slice {
  int64_t tap;
  int64_t taps;
  int64_t channel;
  int64_t channels;
};

/// Samples to take, into target[row][tap][channel].
struct SampleCall {
  const Sample* samples;  // [row][tap][offset group]
  int64_t rows;
  int64_t row_samples;
  int64_t first_tap;
  int64_t taps;
  int64_t offset_groups;
  int64_t offset_group_channels;
  int64_t first_channel;
  int64_t channels;
  float* target;
  int64_t row_stride;
  int64_t tap_stride;
};

template <bool Fused>
INSTASEG_INLINE float multiply_add(float a, float b, float c) {
  return Fused ? __builtin_fmaf(a, b, c) : a * b + c;
}

template <bool Fused>
INSTASEG_INLINE void take_samples(const SampleCall& call) {
  const int64_t last = call.first_channel + call.channels;
  for (int64_t row = 0; row < call.rows; ++row) {
    const Sample* samples = call.samples + row * call.row_samples + call.first_tap * call.offset_groups;
    for (int64_t tap = 0; tap < call.taps; ++tap, samples += call.offset_groups) {
      float* __restrict target = call.target + row * call.row_stride + tap * call.tap_stride;
      for (int64_t channel = call.first_channel; channel < last;) {
        const int64_t group = channel / call.offset_group_channels;
        const int64_t count = std::min(last, (group + 1) * call.offset_group_channels) - channel;
        const Sample& sample = samples[group];
        const float* a = sample.corner[0] + channel;
        const float* b = sample.corner[1] + channel;
        const float* c = sample.corner[2] + channel;
        const float* d = sample.corner[3] + channel;
        const float wa = sample.weight[0], wb = sample.weight[1], wc = sample.weight[2], wd = sample.weight[3];
        for (int64_t i = 0; i < count; ++i) {
          target[i] =
              multiply_add<Fused>(wd, d[i], multiply_add<Fused>(wc, c[i], multiply_add<Fused>(wb, b[i], wa * a[i])));
        }
        target += count;
        channel += count;
      }
    }
  }
}

void take_samples_baseline(const SampleCall& call) { take_samples<false>(call); }
#ifdef INSTASEG_X86
INSTASEG_AVX2 void take_samples_avx2(const SampleCall& call) { take_samples<true>(call); }
INSTASEG_AVX512 void take_samples_avx512(const SampleCall& call) { take_samples<true>(call); }
#endif

/// How a call is cut into slices, and the memory that this needs. Depends on shapes only.
struct Layout {
  Layout(const DeformConv2d& op, const Shape& x, const Shape& w, const Shape& offset)
      : channels(x[3]),
        group_channels(w[1]),
        taps(w[2] * w[3]),
        offset_groups(op.offset_groups(w, offset)),
        sigmoid_mask(op.sigmoid_mask) {
    const int64_t depth = taps * group_channels;
    if (depth == 0) {
      slices.push_back({0, 0, 0, 0});
    } else if (op.groups > 1 && 2 * depth <= kGroupedSlice) {
      groups_together = std::min(op.groups, kGroupedSlice / depth);
      slices.push_back({0, taps, 0, group_channels});
    } else {
      const Split split(group_channels, kSlice);
      const Split tap_split(taps, std::max<int64_t>(kSlice / split.size, 1));
      for (int64_t tap = 0; tap < taps; tap += tap_split.size) {
        for (int64_t channel = 0; channel < group_channels; channel += split.size) {
          slices.push_back(
              {tap, std::min(tap_split.size, taps - tap), channel, std::min(split.size, group_channels - channel)});
        }
      }
    }
    slice_taps = slices.front().taps;
    slice_channels = slices.front().channels * groups_together;
    // Padded, so that the rows of a tile do not meet in few sets of the cache.
    stride = divide_up(slice_taps * slice_channels, kLine) * kLine + kLine;
  }

  int64_t row_samples() const { return taps * offset_groups; }
  size_t zero_bytes() const { return aligned(sizeof(float) * channels); }
  size_t sample_bytes() const { return aligned(sizeof(Sample) * kRowBlock * row_samples()); }
  size_t column_bytes() const { return aligned(sizeof(float) * kRowBlock * stride); }
  size_t pointer_bytes() const { return aligned(sizeof(float*) * kRowBlock * slice_taps); }
  size_t row_bytes() const { return aligned(sizeof(int64_t) * kRowBlock); }
  size_t mask_bytes() const { return sigmoid_mask ? aligned(sizeof(float) * kRowBlock * row_samples()) : 0; }
  size_t thread_bytes() const { return sample_bytes() + column_bytes() + pointer_bytes() + row_bytes() + mask_bytes(); }

  int64_t channels;
  int64_t group_channels;
  int64_t taps;
  int64_t offset_groups;
  bool sigmoid_mask;
  std::vector<Slice> slices;
  /// Groups that are sampled at once; where there are several, all of k is one slice.
  int64_t groups_together = 1;
  int64_t slice_taps;
  int64_t slice_channels;
  /// Values from row to row of the buffer of samples.
  int64_t stride;
};

class Runner {
 public:
  Runner(const DeformConv2d& op, const KernelContext& context, const GemmKernels& kernels,
         void (*take_samples)(const SampleCall&))
      : op_(op),
        context_(context),
        kernels_(kernels),
        take_samples_(take_samples),
        x_(context.inputs[In::kInput].shape),
        y_(context.outputs[0].shape),
        layout_(op, x_, context.inputs[In::kWeight].shape, context.inputs[In::kOffset].shape),
        rows_(y_.elements(0, 3)),
        group_columns_(y_[3] / op.groups),
        panels_(kernels.panel_count(group_columns_)),
        bundles_(divide_up(op.groups, layout_.groups_together)) {}

  void run() {
    std::memset(context_.workspace, 0, layout_.zero_bytes());
    const int64_t pieces = bundles_ > 1 ? bundles_ : panels_;
    const int64_t piece_panels = bundles_ > 1 ? panels_ * layout_.groups_together : 1;
    const UnitPlan plan = plan_units({.rows = rows_,
                                      .tile_rows = kernels_.tile_rows,
                                      .most_rows = kRowBlock,
                                      .pieces = pieces,
                                      .piece_columns = static_cast<double>(piece_panels * kernels_.panel_columns),
                                      .depth = static_cast<double>(layout_.taps * layout_.group_channels),
                                      .columns_to_gather = kColumnsToSample,
                                      .threads = context_.pool.threads()});
    // Blocks vary before pieces, so that weights too large for the caches are read once.
    context_.parallel_for(plan.rows.blocks * plan.pieces.blocks, 1, [&](int64_t unit, int64_t, int thread) {
      const int64_t row = unit % plan.rows.blocks * plan.rows.size;
      const int64_t piece = unit / plan.rows.blocks * plan.pieces.size;
      run_unit(row, std::min(plan.rows.size, rows_ - row), piece, std::min(piece + plan.pieces.size, pieces),
               scratch(thread));
    });
  }

 private:
  struct Scratch {
    Sample* samples;
    float* columns;
    const float** pointers;
    int64_t* c_rows;
    float* mask;
  };

  Scratch scratch(int thread) const {
    char* base = context_.workspace + layout_.zero_bytes() + layout_.thread_bytes() * static_cast<size_t>(thread);
    Scratch result;
    result.samples = reinterpret_cast<Sample*>(base);
    result.columns = reinterpret_cast<float*>(base += layout_.sample_bytes());
    result.pointers = reinterpret_cast<const float**>(base += layout_.column_bytes());
    result.c_rows = reinterpret_cast<int64_t*>(base += layout_.pointer_bytes());
    result.mask = reinterpret_cast<float*>(base + layout_.row_bytes());
    return result;
  }

  Sample place(const float* image, float y, float x, float mask) const {
    const auto zeros = reinterpret_cast<const float*>(context_.workspace);
    Sample sample{{zeros, zeros, zeros, zeros}, {}};
    // NaN fails this test, and what passes it converts to integers safely.
    if (!(y > -1.0f && x > -1.0f && y < static_cast<float>(x_[1]) && x < static_cast<float>(x_[2]))) return sample;
    // Floor: conversion rounds towards zero, which is up for what lies between -1 and 0.
    const int64_t top = static_cast<int64_t>(y) - (y < 0.0f);
    const int64_t left = static_cast<int64_t>(x) - (x < 0.0f);
    const float below = y - static_cast<float>(top);
    const float right = x - static_cast<float>(left);
    const float weights[4] = {(1.0f - below) * (1.0f - right) * mask, (1.0f - below) * right * mask,
                              below * (1.0f - right) * mask, below * right * mask};
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t corner_y = top + i / 2;
      const int64_t corner_x = left + i % 2;
      if (corner_y < 0 || corner_y >= x_[1] || corner_x < 0 || corner_x >= x_[2]) continue;
      sample.corner[i] = image + (corner_y * x_[2] + corner_x) * x_[3];
      sample.weight[i] = weights[i];
    }
    return sample;
  }

  // The samples of rows [begin, begin + rows).
  void place_rows(int64_t begin, int64_t rows, const Scratch& scratch) const {
    const int64_t kernel_width = context_.inputs[In::kWeight].shape[3];
    const int64_t offset_stride = context_.inputs[In::kOffset].shape[3];
    const int64_t count = layout_.row_samples();
    const float* offset = context_.inputs[In::kOffset].f32() + begin * offset_stride;
    const float* mask = context_.inputs[In::kMask].f32();
    int64_t mask_stride = count;
    if (mask) mask += begin * count;
    if (op_.packed_mask) {
      mask = offset + 2 * count;
      mask_stride = offset_stride;
    }
    if (op_.sigmoid_mask) {
      for (int64_t row = 0; row < rows; ++row) {
        std::memcpy(scratch.mask + row * count, mask + row * mask_stride, sizeof(float) * count);
      }
      kernels_.activate(Activation::sigmoid, scratch.mask, rows * count);
      mask = scratch.mask;
      mask_stride = count;
    }
    Sample* sample = scratch.samples;
    for (int64_t row = 0; row < rows; ++row, offset += offset_stride) {
      const int64_t pixel = begin + row;
      const float* image = context_.inputs[In::kInput].f32() + pixel / (y_[1] * y_[2]) * x_.elements(1, 4);
      const int64_t base_y = pixel / y_[2] % y_[1] * op_.stride.y - op_.padding.y;
      const int64_t base_x = pixel % y_[2] * op_.stride.x - op_.padding.x;
      for (int64_t tap = 0; tap < layout_.taps; ++tap) {
        const auto tap_y = static_cast<float>(base_y + tap / kernel_width * op_.dilation.y);
        const auto tap_x = static_cast<float>(base_x + tap % kernel_width * op_.dilation.x);
        for (int64_t group = 0; group < layout_.offset_groups; ++group) {
          const int64_t at = group * layout_.taps + tap;
          *sample++ = place(image, tap_y + offset[2 * at], tap_x + offset[2 * at + 1],
                            mask ? mask[row * mask_stride + at] : 1.0f);
        }
      }
    }
  }

  // Rows [begin, begin + rows) times pieces of the output channels: bundles of groups where there are several, else
  // panels.
  void run_unit(int64_t begin, int64_t rows, int64_t first, int64_t last, const Scratch& memory) const {
    place_rows(begin, rows, memory);
    for (int64_t row = 0; row < rows; ++row) {
      memory.c_rows[row] = (begin + row) * y_[3];
      for (int64_t tap = 0; tap < layout_.slice_taps; ++tap) {
        memory.pointers[tap * rows + row] = memory.columns + row * layout_.stride + tap * layout_.slice_channels;
      }
    }
    if (bundles_ == 1) {
      run_bundle(0, first, last, rows, memory);
    } else {
      for (int64_t bundle = first; bundle < last; ++bundle) run_bundle(bundle, 0, panels_, rows, memory);
    }
  }

  // Panels [first_panel, last_panel) of the groups that are sampled together.
  void run_bundle(int64_t bundle, int64_t first_panel, int64_t last_panel, int64_t rows, const Scratch& memory) const {
    const int64_t first_group = bundle * layout_.groups_together;
    const int64_t groups = std::min(layout_.groups_together, op_.groups - first_group);
    for (const Slice& slice : layout_.slices) {
      take_samples_({.samples = memory.samples,
                     .rows = rows,
                     .row_samples = layout_.row_samples(),
                     .first_tap = slice.tap,
                     .taps = slice.taps,
                     .offset_groups = layout_.offset_groups,
                     .offset_group_channels = layout_.channels / layout_.offset_groups,
                     .first_channel = first_group * layout_.group_channels + slice.channel,
                     .channels = groups * slice.channels,
                     .target = memory.columns,
                     .row_stride = layout_.stride,
                     .tap_stride = layout_.slice_channels});
      for (int64_t group = 0; group < groups; ++group) {
        for (int64_t panel = first_panel; panel < last_panel; ++panel) {
          run_panel(slice, first_group + group, group * layout_.group_channels, panel, rows, memory);
        }
      }
    }
  }

  const float* weights(const Slice& slice, int64_t group, int64_t panel) const {
    const int64_t depth = layout_.taps * layout_.group_channels;
    return static_cast<const PackedPanels*>(context_.packed)->data() +
           ((group * panels_ + panel) * depth + slice.tap * layout_.group_channels + slice.channel) *
               kernels_.panel_columns;
  }

  void run_panel(const Slice& slice, int64_t group, int64_t a_offset, int64_t panel, int64_t rows,
                 const Scratch& memory) const {
    const int64_t column = group * group_columns_ + panel * kernels_.panel_columns;
    const float* residual = context_.inputs[In::kResidual].f32();
    PanelCall call;
    call.a = memory.pointers;
    call.a_stride = call.rows = rows;
    call.a_offset = a_offset;
    call.taps = slice.taps;
    call.run = slice.channels;
    call.b = weights(slice, group, panel);
    if (panel + 1 < panels_) {
      call.next_b = {weights(slice, group, panel + 1),
                     static_cast<size_t>(slice.taps * slice.channels * kernels_.panel_columns)};
    }
    call.c = context_.outputs[0].as<float>() + column;
    call.c_rows = memory.c_rows;
    call.columns = std::min(kernels_.panel_columns, group_columns_ - panel * kernels_.panel_columns);
    call.resume = &slice != &layout_.slices.front();
    call.finish = &slice == &layout_.slices.back();
    call.relu = op_.activation == Activation::relu;
    call.residual = residual ? residual + column : nullptr;
    float scale[kMostPanelColumns];
    float bias[kMostPanelColumns];
    if (call.finish) {
      const float* scales = context_.inputs[In::kScale].f32();
      const float* biases = context_.inputs[In::kBias].f32();
      for (int64_t i = 0; i < kernels_.panel_columns; ++i) {
        scale[i] = scales && i < call.columns ? scales[column + i] : 1.0f;
        bias[i] = biases && i < call.columns ? biases[column + i] : 0.0f;
      }
      call.scale = scale;
      call.bias = bias;
    }
    kernels_.panel(call);
    if (call.finish && op_.activation > Activation::relu) {
      for (int64_t row = 0; row < rows; ++row) {
        kernels_.activate(op_.activation, call.c + call.c_rows[row], call.columns);
      }
    }
  }

  const DeformConv2d& op_;
  const KernelContext& context_;
  const GemmKernels& kernels_;
  void (*const take_samples_)(const SampleCall&);
  const Shape& x_;
  const Shape& y_;
  const Layout layout_;
  const int64_t rows_;
  const int64_t group_columns_;
  const int64_t panels_;
  const int64_t bundles_;
};

template <const GemmKernels& Kernels>
std::string pack_key(const DeformConv2d& op, const Specs&) {
  return "deformConv2d panels of " + std::to_string(Kernels.panel_columns) + ", groups " + std::to_string(op.groups);
}

template <const GemmKernels& Kernels>
std::shared_ptr<const void> pack(const DeformConv2d& op, const TensorView& weight, const PackContext& context) {
  const Shape& w = weight.shape;
  const int64_t taps = w[2] * w[3];
  const int64_t columns = w[0] / op.groups;
  return std::make_shared<PackedPanels>(
      pack_panels(Kernels.panel_columns, op.groups, columns, taps * w[1], *context.host,
                  [&](int64_t group, int64_t column, int64_t k) {
                    return weight.f32()[((group * columns + column) * w[1] + k % w[1]) * taps + k / w[1]];
                  }));
}

size_t workspace(const DeformConv2d& op, const Specs& in, const Specs&, int threads) {
  const Layout layout(op, in[In::kInput].shape, in[In::kWeight].shape, in[In::kOffset].shape);
  return layout.zero_bytes() + layout.thread_bytes() * static_cast<size_t>(threads);
}

template <const GemmKernels& Kernels, void (*TakeSamples)(const SampleCall&)>
void run(const DeformConv2d& op, const KernelContext& context) {
  if (context.outputs[0].elements() > 0) Runner(op, context, Kernels, TakeSamples).run();
}

const KernelRegistration<DeformConv2d> reference_row{{.run = reference}};
const KernelRegistration<DeformConv2d> baseline_row{{.variant = "baseline",
                                                     .rank = 10,
                                                     .workspace = workspace,
                                                     .packed_input = In::kWeight,
                                                     .pack_key = pack_key<kGemmBaseline>,
                                                     .pack = pack<kGemmBaseline>,
                                                     .run = run<kGemmBaseline, take_samples_baseline>}};
#ifdef INSTASEG_X86
const KernelRegistration<DeformConv2d> avx2_row{{.variant = "avx2",
                                                 .isa = Isa::avx2,
                                                 .rank = 20,
                                                 .workspace = workspace,
                                                 .packed_input = In::kWeight,
                                                 .pack_key = pack_key<kGemmAvx2>,
                                                 .pack = pack<kGemmAvx2>,
                                                 .run = run<kGemmAvx2, take_samples_avx2>}};
const KernelRegistration<DeformConv2d> avx512_row{{.variant = "avx512",
                                                   .isa = Isa::avx512,
                                                   .rank = 30,
                                                   .workspace = workspace,
                                                   .packed_input = In::kWeight,
                                                   .pack_key = pack_key<kGemmAvx512>,
                                                   .pack = pack<kGemmAvx512>,
                                                   .run = run<kGemmAvx512, take_samples_avx512>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
