#include "cpu/gemm_taps.h"

#include <algorithm>
#include <cstring>

#include "cpu/gemm_units.h"

namespace instaseg::cpu {
namespace {

// Values of k in a slice: their weights (32 KiB of a panel, 64 with AVX-512) come from the L1 and L2 caches while all
// rows pass over them.
constexpr int64_t kSlice = 512;
// Floats of the output that a block of rows covers, where that leaves enough rows: together with the residual they wait
// in the L2 cache.
constexpr int64_t kBlockOutput = 48 << 10;
constexpr int64_t kLeastRowBlock = 60;
// Rows of a unit at most.
constexpr int64_t kMostUnitRows = 8 * kRowBlock;
// What storing an element costs, and gathering a row for columns, beside their multiply-adds.
constexpr int64_t kStoring = 16;
constexpr double kColumnsToGather = 64;

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
    const auto phases = static_cast<int64_t>(conv_.phases.size());
    const UnitPlan plan = plan_units({.copies = phases,
                                      .rows = most_rows_,
                                      .tile_rows = kernels_.tile_rows,
                                      .most_rows = kMostUnitRows,
                                      .pieces = conv_.groups * panels,
                                      .piece_columns = static_cast<double>(kernels_.panel_columns),
                                      .depth = static_cast<double>(most_taps_ * run_ + kStoring),
                                      .columns_to_gather = kColumnsToGather,
                                      .threads = context_.pool.threads()});
    // Rows vary before columns, so that a chunk of weights too large for the caches is read once; phases vary first,
    // since they share their input.
    context_.parallel_for(phases * plan.rows.blocks * plan.pieces.blocks, 1, [&](int64_t unit, int64_t, int thread) {
      const auto phase = static_cast<size_t>(unit % phases);
      const int64_t row = unit / phases % plan.rows.blocks * plan.rows.size;
      const int64_t piece = unit / phases / plan.rows.blocks * plan.pieces.size;
      const Pair size = conv_.phases[phase].size;
      run_unit(phase, {row, std::min(row + plan.rows.size, conv_.images.total() * size.y * size.x)},
               row + context_.pool.threads() * plan.rows.size,
               {piece, std::min(piece + plan.pieces.size, conv_.groups * panels)}, scratch(thread));
    });
  }

 private:
  struct Range {
    int64_t begin;
    int64_t end;
  };

  /// Memory that later rows read and write.
  struct Later {
    std::span<const float> spans[3];
  };

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

  // Output position of the first channel of cell (y, x) of an image's grid.
  int64_t output_position(const TapPhase& phase, int64_t image, int64_t y, int64_t x) const {
    const int64_t output_y = phase.origin.y + y * conv_.step.y;
    const int64_t output_x = phase.origin.x + x * conv_.step.x;
    return ((image * conv_.output_shape[1] + output_y) * conv_.output_shape[2] + output_x) * conv_.output_shape[3];
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
      scratch.c_rows[row] = output_position(phase, image, y, x);
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

  // Rows of a phase, block by block, times pieces (panels, counted over all groups). `next_rows`: where the rows begin
  // that this thread is likely to take afterwards.
  void run_unit(size_t phase_index, Range rows, int64_t next_rows, Range pieces, const Scratch& scratch) const {
    if (rows.begin >= rows.end) return;
    const TapPhase& phase = conv_.phases[phase_index];
    const int64_t panels = kernels_.panel_count(conv_.group_columns());
    const int64_t columns = (pieces.end - pieces.begin) * kernels_.panel_columns;
    const int64_t limit = std::clamp(kBlockOutput / columns, kLeastRowBlock, kRowBlock);
    const Split blocks(rows.end - rows.begin, limit, kernels_.tile_rows);
    for (int64_t begin = rows.begin; begin < rows.end; begin += blocks.size) {
      const int64_t end = std::min(begin + blocks.size, rows.end);
      gather(phase, begin, end - begin, scratch);
      const int64_t next = end < rows.end ? end : next_rows;
      const Later later = columns < conv_.output_shape[3] ? Later{} : later_rows(phase, next, blocks.size);
      for (int64_t piece = pieces.begin; piece < pieces.end;) {
        const int64_t group = piece / panels;
        const int64_t last = std::min((group + 1) * panels, pieces.end);
        run_block(phase_index, group, end - begin, {piece - group * panels, last - group * panels}, later, scratch);
        piece = last;
      }
    }
  }

  // What rows [begin, begin + rows) read and write, where that is one piece of memory: input, output and residual.
  Later later_rows(const TapPhase& phase, int64_t begin, int64_t rows) const {
    Later later;
    if (conv_.groups > 1 || conv_.step.y > 1 || conv_.step.x > 1) return later;
    const int64_t pixels = phase.size.y * phase.size.x;
    if (begin >= conv_.images.total() * pixels) return later;
    // Images without work may lie between the rows: what is fetched ends with the first image.
    const int64_t image = conv_.images.row(begin / pixels);
    const int64_t cell = begin % pixels;
    const int64_t position = output_position(phase, image, cell / phase.size.x, cell % phase.size.x);
    const auto size = static_cast<size_t>(std::min(rows, pixels - cell) * conv_.output_shape[3]);
    later.spans[0] = {conv_.output + position, size};
    if (conv_.residual) later.spans[1] = {conv_.residual + position, size};
    const bool same_pixels = most_taps_ == 1 && conv_.tap_pixels == 1 &&
                             conv_.input_shape[1] == conv_.output_shape[1] &&
                             conv_.input_shape[2] == conv_.output_shape[2];
    if (same_pixels) {
      const int64_t pixel = position / conv_.output_shape[3];
      later.spans[2] = {conv_.input + pixel * run_, static_cast<size_t>(std::min(rows, pixels - cell) * run_)};
    }
    return later;
  }

  // Gathered rows times panels of a group.
  void run_block(size_t phase_index, int64_t group, int64_t rows, Range panels, const Later& later,
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
      const float* first =
          phase.panels + ((group * group_panels + panel) * depth + slice.tap * run_ + slice.offset) * width;
      return std::span<const float>(first, static_cast<size_t>(slice.taps * slice.length * width));
    };
    const std::vector<Slice>& slices = slices_[phase_index];
    // Calls share out evenly what they fetch for later rows.
    const auto calls = slices.size() * static_cast<size_t>(panels.end - panels.begin);
    size_t calls_made = 0;
    for (const Slice& slice : slices) {
      call.a = scratch.pointers + slice.tap * call.a_stride;
      call.a_offset = group * conv_.group_channels() + slice.offset;
      call.taps = slice.taps;
      call.run = slice.length;
      call.resume = &slice != &slices.front();
      call.finish = &slice == &slices.back();
      for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
        const int64_t column = group * conv_.group_columns() + panel * width;
        call.columns = std::min(width, conv_.group_columns() - panel * width);
        call.b = weights(slice, panel).data();
        call.next_b = {};
        if (panel + 1 < panels.end) {
          call.next_b = weights(slice, panel + 1);
        } else if (!call.finish) {
          call.next_b = weights(*(&slice + 1), panels.begin);
        }
        call.c = conv_.output + column;
        call.residual = conv_.residual ? conv_.residual + column : nullptr;
        if (call.finish) {
          for (int64_t i = 0; i < width; ++i) {
            scale[i] = conv_.scale && i < call.columns ? conv_.scale[column + i] : 1.0f;
            bias[i] = conv_.bias && i < call.columns ? conv_.bias[column + i] : 0.0f;
          }
        }
        for (size_t i = 0; i < std::size(later.spans); ++i) {
          const size_t share = divide_up(later.spans[i].size() / kLine, calls) * kLine;
          const size_t first = std::min(share * calls_made, later.spans[i].size());
          call.later[i] = later.spans[i].subspan(first, std::min(share, later.spans[i].size() - first));
        }
        ++calls_made;
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
