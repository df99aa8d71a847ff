// The matrix product under convolution and linear: packed weights, rows gathered through pointers, a fused epilogue.
//
// Every element of the result is one chain of multiply-adds over k, in ascending order from zero, whatever the tile it
// lies in; partial sums that wait in memory between two slices of k are exact f32 values. So no split of rows, columns
// or k, no thread count and no batch changes a bit of the result.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "ops/conv_rules.h"
#include "runtime/allocator.h"

namespace instaseg::cpu {

/// The most output channels in a panel of packed weights, of any instruction set.
inline constexpr int64_t kMostPanelColumns = 32;

/// Weights as panels [panel][k][width], the columns past the last one zero; `width` is GemmKernels::panel_columns.
struct PackedPanels {
  Buffer memory;
  float* data() const { return static_cast<float*>(memory.data()); }
};

/// Panels of `groups` matrices of `depth` x `columns`, [group][panel][k][width]; value(group, column, k) gives an
/// element.
template <class Value>
PackedPanels pack_panels(int64_t width, int64_t groups, int64_t columns, int64_t depth, HostAllocator& allocator,
                         const Value& value) {
  const int64_t panels = (columns + width - 1) / width;
  PackedPanels packed;
  packed.memory = allocator.allocate(sizeof(float) * static_cast<size_t>(groups * panels * depth * width));
  float* target = packed.data();
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t panel = 0; panel < panels; ++panel) {
      for (int64_t k = 0; k < depth; ++k) {
        for (int64_t i = 0; i < width; ++i) {
          const int64_t column = panel * width + i;
          *target++ = column < columns ? value(group, column, k) : 0.0f;
        }
      }
    }
  }
  return packed;
}

/// One panel of columns times a block of rows and a slice of k.
struct PanelCall {
  /// a[tap * a_stride + row] points to a row's contiguous run of values for a tap; `a_offset` is added to each.
  const float* const* a = nullptr;
  int64_t a_stride = 0;
  int64_t a_offset = 0;
  int64_t rows = 0;
  int64_t taps = 0;
  /// Values a tap; k = taps * run.
  int64_t run = 0;
  /// [k][panel_columns]
  const float* b = nullptr;
  /// What the next calls read: fetched into the L2 cache meanwhile. Empty where nothing is known.
  std::span<const float> next_b, next_a;
  /// What later calls read or write in main memory: fetched into the L2 cache too, a few lines before each tile.
  std::span<const float> later[3] = {};
  /// Row r starts at c + c_rows[r]; `columns` (1 to panel_columns) of the panel are stored.
  float* c = nullptr;
  const int64_t* c_rows = nullptr;
  int64_t columns = 0;
  /// Go on from the partial sums in c instead of zero.
  bool resume = false;
  /// Last slice of k: c = sum * scale + bias + residual, then relu. The kernel reads panel_columns values of scale and
  /// bias.
  bool finish = false;
  bool relu = false;
  const float* scale = nullptr;
  const float* bias = nullptr;
  /// Same rows as c, or null.
  const float* residual = nullptr;
};

/// One pixel of a depthwise convolution: c = sum over taps of a * b, * scale + bias + residual, for all channels.
struct DepthwiseCall {
  const float* const* a = nullptr;  // [tap], each to `channels` values
  const float* const* b = nullptr;  // [tap], likewise
  int64_t taps = 0;
  int64_t channels = 0;
  float* c = nullptr;
  /// Each null where absent.
  const float* scale = nullptr;
  const float* bias = nullptr;
  const float* residual = nullptr;
};

/// What one instruction set brings.
struct GemmKernels {
  /// Output channels in a panel of packed weights.
  int64_t panel_columns;
  /// Rows that `panel` keeps in registers; blocks of rows are multiples of it where they can be.
  int64_t tile_rows;
  void (*panel)(const PanelCall& call);
  void (*depthwise)(const DepthwiseCall& call);
  /// In place; for the activations that the panel kernel leaves out (sigmoid, tanh).
  void (*activate)(Activation activation, float* values, int64_t count);

  int64_t panel_count(int64_t columns) const { return (columns + panel_columns - 1) / panel_columns; }
};

extern const GemmKernels kGemmBaseline;
#ifdef INSTASEG_X86
extern const GemmKernels kGemmAvx2;
extern const GemmKernels kGemmAvx512;
#endif

/// The activations for one value, as the reference variants compute them.
float activate_reference(Activation activation, float x);

}  // namespace instaseg::cpu
