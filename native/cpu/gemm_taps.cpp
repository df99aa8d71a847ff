#include "cpu/gemm_taps.h"

#include <algorithm>
#include <cstring>

namespace instaseg::cpu {
namespace {

// Rows of a unit of work: its slice of the input stays in the L2 cache while all panels pass over it.
constexpr int64_t kRowBlock = 96;
// Values of k in a slice: their weights (16 KiB of a panel, 32 with AVX-512) stay in the L1 cache while all rows pass
// over them.
constexpr int64_t kSlice = 256;
// A unit's multiply-adds: few enough for a prompt cancellation, enough to pay for its pointers.
constexpr double kLargestUnit = 1.2e8;
constexpr double kSmallestUnit = 2e6;
constexpr int64_t kUnitsPerThread = 16;

size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

/// Zeros that stand for pixels outside the image: the channels of all groups.
size_t zero_bytes(int64_t run, int64_t groups) { return aligned(sizeof(float) * run * groups); }

/// A thread's part of the workspace.
struct Scratch {
  const float** pointers;
  int64_t* c_rows;
  float* edges;

  static size_t pointer_bytes(int64_t taps) { return aligned(sizeof(float*) * kRowBlock * taps); }
  static size_t row_bytes() { return aligned(sizeof(int64_t) * kRowBlock); }
  static size_t edge_bytes(int64_t taps, int64_t tap_pixels, int64_t run) {
    return tap_pixels > 1 ? aligned(sizeof(float) * kRowBlock * taps * run) : 0;
  }
  static size_t bytes(int64_t taps, int64_t tap_pixels, int64_t run) {
    return pointer_bytes(taps) + row_bytes() + edge_bytes(taps, tap_pixels, run);
  }
};

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// `count` items in blocks of equal size, at most `limit` each.
struct Split {
  int64_t size;
  int64_t blocks;
  Split(int64_t count, int64_t limit, int64_t multiple = 1) {
    const int64_t wanted = std::max<int64_t>(divide_up(count, limit), 1);
    size = std::max<int64_t>(divide_up(divide_up(count, wanted), multiple) * multiple, 1);
    blocks = divide_up(count, size);
  }
};

struct Slice {
  int64_t tap;
  int64_t taps;
  int64_t offset;
  int64_t length;
};

std::vector<Slice> slices_of(int64_t taps, int64_t run) {
  std::vector<Slice> slices;
  if (taps == 0 || run == 0) return {{0, 0, 0, 0}};
  if (run > kSlice) {
    const Split split(run, kSlice);
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t offset = 0; offset < run; offset += split.size) {
        slices.push_back({tap, 1, offset, std::min(split.size, run - offset)});
      }
    }
  } else {
    const Split split(taps, std::max<int64_t>(kSlice / run, 1));
    for (int64_t tap = 0; tap < taps; tap += split.size) {
      slices.push_back({tap, std::min(split.size, taps - tap), 0, run});
    }
  }
  return slices;
}

class Runner {
 public:
  Runner(const TapConvolution& conv, const GemmKernels& kernels, const KernelContext& context)
      : conv_(conv), kernels_(kernels), context_(context), run_(conv.run()) {
    for (const TapPhase& phase : conv.phases) {
      slices_.push_back(slices_of(static_cast<int64_t>(phase.taps.size()), run_));
      most_taps_ = std::max(most_taps_, static_cast<int64_t>(phase.taps.size()));
      most_rows_ = std::max(most_rows_, conv.images.total() * phase.size.y * phase.size.x);
    }
    zeros_ = reinterpret_cast<const float*>(context.workspace);
  }

  void run() {
    const int64_t panels = kernels_.panel_count(conv_.group_columns());
    if (most_rows_ == 0 || panels == 0) return;
    std::memset(context_.workspace, 0, zero_bytes(run_, conv_.groups));
    plan_units(panels);
    // Rows vary before columns, so that a chunk of weights too large for the caches is read once; phases vary first,
    // since they share their input.
    const auto phases = static_cast<int64_t>(conv_.phases.size());
    const int64_t units = group_chunks_ * column_chunks_ * row_blocks_ * phases;
    context_.parallel_for(units, 1, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t phase = unit % phases;
        const int64_t block = unit / phases % row_blocks_;
        const int64_t chunk = unit / phases / row_blocks_ % column_chunks_;
        const int64_t first_group = unit / phases / row_blocks_ / column_chunks_ * groups_per_chunk_;
        const int64_t last_group = std::min(conv_.groups, first_group + groups_per_chunk_);
        const Scratch memory = scratch(thread);
        const TapPhase& of = conv_.phases[static_cast<size_t>(phase)];
        const int64_t begin_row = block * rows_per_block_;
        const int64_t end_row = std::min(begin_row + rows_per_block_, conv_.images.total() * of.size.y * of.size.x);
        if (begin_row >= end_row) continue;
        gather(of, begin_row, end_row - begin_row, memory);
        for (int64_t group = first_group; group < last_group; ++group) {
          run_unit(static_cast<size_t>(phase), group, end_row - begin_row, chunk * panels_per_chunk_,
                   std::min(panels, (chunk + 1) * panels_per_chunk_), memory);
        }
      }
    });
  }

 private:
  void plan_units(int64_t panels) {
    const auto phases = static_cast<double>(conv_.phases.size());
    const double panel_work = static_cast<double>(kernels_.panel_columns) * static_cast<double>(most_taps_ * run_ + 16);
    int64_t rows = kRowBlock;
    const auto most = static_cast<int64_t>(kLargestUnit / (panel_work * static_cast<double>(rows)));
    int64_t columns = std::clamp<int64_t>(most, 1, panels);
    // Groups of a unit share its pointers.
    int64_t groups = std::clamp<int64_t>(most / columns, 1, conv_.groups);
    const auto enough = [&] {
      const double units = phases * static_cast<double>(divide_up(conv_.groups, groups) * divide_up(most_rows_, rows) *
                                                        divide_up(panels, columns));
      const double work = panel_work * static_cast<double>(std::min(rows, most_rows_) * columns * groups);
      return units >= static_cast<double>(kUnitsPerThread * context_.pool.threads()) || work <= kSmallestUnit;
    };
    while (!enough() && groups > 1) groups = divide_up(groups, 2);
    while (!enough() && columns > 4) columns = divide_up(columns, 2);
    while (!enough() && rows > 4 * kernels_.tile_rows) rows /= 2;
    while (!enough() && columns > 1) columns = divide_up(columns, 2);
    const Split row_split(most_rows_, rows, kernels_.tile_rows);
    rows_per_block_ = row_split.size;
    row_blocks_ = row_split.blocks;
    const Split group_split(conv_.groups, groups);
    groups_per_chunk_ = group_split.size;
    group_chunks_ = group_split.blocks;
    const Split column_split(panels, columns);
    panels_per_chunk_ = column_split.size;
    column_chunks_ = column_split.blocks;
  }

  Scratch scratch(int thread) const {
    char* base = context_.workspace + zero_bytes(run_, conv_.groups) +
                 Scratch::bytes(most_taps_, conv_.tap_pixels, run_) * static_cast<size_t>(thread);
    Scratch result;
    result.pointers = reinterpret_cast<const float**>(base);
    base += Scratch::pointer_bytes(most_taps_);
    result.c_rows = reinterpret_cast<int64_t*>(base);
    result.edges = reinterpret_cast<float*>(base + Scratch::row_bytes());
    return result;
  }

  // Copies the part of a tap's run that lies inside the image row, zeros around it.
  const float* edge_run(float*& edges, const float* image_row, int64_t x) const {
    const int64_t channels = conv_.input_shape[3];
    const int64_t first = std::clamp<int64_t>(-x, 0, conv_.tap_pixels);
    const int64_t last = std::clamp<int64_t>(conv_.input_shape[2] - x, first, conv_.tap_pixels);
    if (first == last) return zeros_;
    float* copy = edges;
    edges += run_;
    std::memset(copy, 0, sizeof(float) * run_);
    std::memcpy(copy + first * channels, image_row + (x + first) * channels, sizeof(float) * (last - first) * channels);
    return copy;
  }

  // Fills the pointers (of the first group) and output positions of rows [begin, begin + rows) of a phase.
  void gather(const TapPhase& phase, int64_t begin, int64_t rows, const Scratch& scratch) const {
    const int64_t height = conv_.input_shape[1];
    const int64_t width = conv_.input_shape[2];
    const int64_t channels = conv_.input_shape[3];
    const int64_t pixels = phase.size.y * phase.size.x;
    const auto taps = static_cast<int64_t>(phase.taps.size());
    float* edges = scratch.edges;
    int64_t index = begin / pixels;
    int64_t y = begin % pixels / phase.size.x;
    int64_t x = begin % phase.size.x;
    int64_t image = -1;
    const float* source = nullptr;
    for (int64_t row = 0; row < rows; ++row) {
      if (image < 0) {
        image = conv_.images.row(index);
        source = conv_.input + image * height * width * channels;
      }
      const int64_t output_y = phase.origin.y + y * conv_.step.y;
      const int64_t output_x = phase.origin.x + x * conv_.step.x;
      scratch.c_rows[row] =
          ((image * conv_.output_shape[1] + output_y) * conv_.output_shape[2] + output_x) * conv_.output_shape[3];
      const int64_t base_y = y * conv_.stride.y;
      const int64_t base_x = x * conv_.stride.x;
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t input_y = base_y + phase.taps[tap].y;
        const int64_t input_x = base_x + phase.taps[tap].x;
        const float* run = zeros_;
        if (input_y >= 0 && input_y < height) {
          const float* image_row = source + input_y * width * channels;
          if (input_x >= 0 && input_x + conv_.tap_pixels <= width) {
            run = image_row + input_x * channels;
          } else if (conv_.tap_pixels > 1) {
            run = edge_run(edges, image_row, input_x);
          }
        }
        scratch.pointers[tap * rows + row] = run;
      }
      if (++x == phase.size.x) {
        x = 0;
        if (++y == phase.size.y) {
          y = 0;
          ++index;
          image = -1;
        }
      }
    }
  }

  // One group of a unit, whose rows are gathered.
  void run_unit(size_t phase_index, int64_t group, int64_t rows, int64_t first_panel, int64_t last_panel,
                const Scratch& scratch) const {
    const TapPhase& phase = conv_.phases[phase_index];
    const int64_t depth = static_cast<int64_t>(phase.taps.size()) * run_;
    const int64_t width = kernels_.panel_columns;
    const int64_t group_panels = kernels_.panel_count(conv_.group_columns());
    float scale[kMostPanelColumns];
    float bias[kMostPanelColumns];
    PanelCall call;
    call.a_stride = call.rows = rows;
    call.c_rows = scratch.c_rows;
    call.relu = conv_.activation == Activation::relu;
    call.scale = scale;
    call.bias = bias;
    const auto weights = [&](const Slice& slice, int64_t panel) {
      return phase.panels + ((group * group_panels + panel) * depth + slice.tap * run_ + slice.offset) * width;
    };
    const std::vector<Slice>& slices = slices_[phase_index];
    for (const Slice& slice : slices) {
      call.a = scratch.pointers + slice.tap * call.a_stride;
      call.a_offset = group * conv_.group_channels() + slice.offset;
      call.taps = slice.taps;
      call.run = slice.length;
      call.resume = &slice != &slices.front();
      call.finish = &slice == &slices.back();
      for (int64_t panel = first_panel; panel < last_panel; ++panel) {
        const int64_t column = group * conv_.group_columns() + panel * width;
        call.columns = std::min(width, conv_.group_columns() - panel * width);
        call.b = weights(slice, panel);
        call.next_b = {};
        if (panel + 1 < last_panel) {
          call.next_b = {weights(slice, panel + 1), static_cast<size_t>(slice.taps * slice.length * width)};
        } else if (!call.finish) {
          const Slice& next = *(&slice + 1);
          call.next_b = {weights(next, first_panel), static_cast<size_t>(next.taps * next.length * width)};
        }
        call.c = conv_.output + column;
        call.residual = conv_.residual ? conv_.residual + column : nullptr;
        if (call.finish) {
          for (int64_t i = 0; i < width; ++i) {
            scale[i] = conv_.scale && i < call.columns ? conv_.scale[column + i] : 1.0f;
            bias[i] = conv_.bias && i < call.columns ? conv_.bias[column + i] : 0.0f;
          }
        }
        kernels_.panel(call);
        if (call.finish && conv_.activation > Activation::relu) {
          for (int64_t row = 0; row < call.rows; ++row) {
            kernels_.activate(conv_.activation, call.c + call.c_rows[row], call.columns);
          }
        }
      }
    }
  }

  const TapConvolution& conv_;
  const GemmKernels& kernels_;
  const KernelContext& context_;
  const int64_t run_;
  const float* zeros_ = nullptr;
  std::vector<std::vector<Slice>> slices_;
  int64_t most_taps_ = 0;
  int64_t most_rows_ = 0;
  int64_t rows_per_block_ = 0;
  int64_t row_blocks_ = 0;
  int64_t panels_per_chunk_ = 0;
  int64_t column_chunks_ = 0;
  int64_t groups_per_chunk_ = 0;
  int64_t group_chunks_ = 0;
};

}  // namespace

size_t tap_workspace(int64_t taps, int64_t tap_pixels, int64_t run, int64_t groups, int threads) {
  return zero_bytes(run, groups) + Scratch::bytes(taps, tap_pixels, run) * static_cast<size_t>(threads);
}

void run_taps(const TapConvolution& convolution, const GemmKernels& kernels, const KernelContext& context) {
  Runner(convolution, kernels, context).run();
}

size_t depthwise_workspace(int64_t taps, int threads) {
  return aligned(2 * sizeof(float*) * taps) * static_cast<size_t>(threads);
}

void run_depthwise(const TapConvolution& conv, const GemmKernels& kernels, const KernelContext& context) {
  const int64_t height = conv.input_shape[1];
  const int64_t width = conv.input_shape[2];
  const int64_t channels = conv.output_shape[3];
  size_t most_taps = 0;
  for (const TapPhase& phase : conv.phases) most_taps = std::max(most_taps, phase.taps.size());
  const size_t scratch_bytes = aligned(2 * sizeof(float*) * most_taps);
  for (const TapPhase& phase : conv.phases) {
    context.parallel_for(conv.images.total() * phase.size.y, 1, [&](int64_t begin, int64_t, int thread) {
      const auto inputs = reinterpret_cast<const float**>(context.workspace + scratch_bytes * thread);
      const float** weights = inputs + most_taps;
      const int64_t image = conv.images.row(begin / phase.size.y);
      const int64_t y = begin % phase.size.y;
      const float* source = conv.input + image * height * width * channels;
      DepthwiseCall call{.a = inputs, .b = weights, .channels = channels, .scale = conv.scale, .bias = conv.bias};
      for (int64_t x = 0; x < phase.size.x; ++x) {
        call.taps = 0;
        for (size_t tap = 0; tap < phase.taps.size(); ++tap) {
          const int64_t input_y = y * conv.stride.y + phase.taps[tap].y;
          const int64_t input_x = x * conv.stride.x + phase.taps[tap].x;
          if (input_y < 0 || input_y >= height || input_x < 0 || input_x >= width) continue;
          inputs[call.taps] = source + (input_y * width + input_x) * channels;
          weights[call.taps] = phase.panels + static_cast<int64_t>(tap) * channels;
          ++call.taps;
        }
        const int64_t output_y = phase.origin.y + y * conv.step.y;
        const int64_t output_x = phase.origin.x + x * conv.step.x;
        const int64_t position =
            ((image * conv.output_shape[1] + output_y) * conv.output_shape[2] + output_x) * channels;
        call.c = conv.output + position;
        call.residual = conv.residual ? conv.residual + position : nullptr;
        kernels.depthwise(call);
        kernels.activate(conv.activation, call.c, channels);
      }
    });
  }
}

}  // namespace instaseg::cpu
