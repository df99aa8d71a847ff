// The matrix product under convolution and linear, for the x86-64 baseline or the target's own baseline (4 lanes).
#include "cpu/gemm.h"

#include <cmath>

#include "cpu/gemm_activation.h"

namespace instaseg::cpu {
namespace {

using Vec = float __attribute__((vector_size(16)));
constexpr int64_t kPanelColumns = 16;
constexpr int64_t kHalf = kPanelColumns / 2;

Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }

Vec broadcast(float value) { return Vec{value, value, value, value}; }

// Four rows of eight columns: 8 sums, two weights, a broadcast value and its product fill 12 of the 16 registers of
// SSE2. Fewer rows run the same sequence a row.
template <int Rows, bool Full>
void tile(const PanelCall& call, int64_t row, int64_t column, int64_t columns) {
  Vec sum[Rows][2] = {};
  float edge[kHalf] = {};
  if (call.resume) {
#pragma GCC unroll 4
    for (int i = 0; i < Rows; ++i) {
      const float* c = call.c + call.c_rows[row + i] + column;
      if (!Full) {
        for (int64_t j = 0; j < columns; ++j) edge[j] = c[j];
        c = edge;
      }
      sum[i][0] = load(c);
      sum[i][1] = load(c + 4);
    }
  }
  const float* b = call.b + column;
  for (int64_t tap = 0; tap < call.taps; ++tap) {
    const float* a[Rows];
#pragma GCC unroll 4
    for (int i = 0; i < Rows; ++i) a[i] = call.a[tap * call.a_stride + row + i] + call.a_offset;
    for (int64_t k = 0; k < call.run; ++k) {
      const Vec b0 = load(b);
      const Vec b1 = load(b + 4);
      b += kPanelColumns;
#pragma GCC unroll 4
      for (int i = 0; i < Rows; ++i) {
        const Vec value = broadcast(a[i][k]);
        sum[i][0] += value * b0;
        sum[i][1] += value * b1;
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < Rows; ++i) {
    const int64_t position = call.c_rows[row + i] + column;
    if (call.finish) {
      sum[i][0] = sum[i][0] * load(call.scale + column) + load(call.bias + column);
      sum[i][1] = sum[i][1] * load(call.scale + column + 4) + load(call.bias + column + 4);
      if (call.residual) {
        const float* residual = call.residual + position;
        if (!Full) {
          for (int64_t j = 0; j < columns; ++j) edge[j] = residual[j];
          residual = edge;
        }
        sum[i][0] += load(residual);
        sum[i][1] += load(residual + 4);
      }
      if (call.relu) {
        sum[i][0] = sum[i][0] < 0.0f ? Vec{} : sum[i][0];
        sum[i][1] = sum[i][1] < 0.0f ? Vec{} : sum[i][1];
      }
    }
    float* c = call.c + position;
    store(Full ? c : edge, sum[i][0]);
    store((Full ? c : edge) + 4, sum[i][1]);
    for (int64_t j = 0; !Full && j < columns; ++j) c[j] = edge[j];
  }
}

template <bool Full>
void tiles(const PanelCall& call, int64_t column, int64_t columns) {
  int64_t row = 0;
  for (; row + 4 <= call.rows; row += 4) tile<4, Full>(call, row, column, columns);
  switch (call.rows - row) {
    case 3:
      return tile<3, Full>(call, row, column, columns);
    case 2:
      return tile<2, Full>(call, row, column, columns);
    case 1:
      return tile<1, Full>(call, row, column, columns);
    default:
      return;
  }
}

void panel(const PanelCall& call) {
  for (int64_t column = 0; column < call.columns; column += kHalf) {
    const int64_t columns = call.columns - column;
    if (columns >= kHalf) {
      tiles<true>(call, column, kHalf);
    } else {
      tiles<false>(call, column, columns);
    }
  }
}

// Channels [first, first + 4 * Vectors), summed in registers in the order of the taps.
template <int Vectors>
void depthwise_block(const DepthwiseCall& call, int64_t first) {
  Vec sum[Vectors] = {};
  for (int64_t tap = 0; tap < call.taps; ++tap) {
    const float* a = call.a[tap] + first;
    const float* b = call.b[tap] + first;
#pragma GCC unroll 4
    for (int i = 0; i < Vectors; ++i) sum[i] += load(a + 4 * i) * load(b + 4 * i);
  }
#pragma GCC unroll 4
  for (int i = 0; i < Vectors; ++i) {
    if (call.scale) sum[i] *= load(call.scale + first + 4 * i);
    if (call.bias) sum[i] += load(call.bias + first + 4 * i);
    if (call.residual) sum[i] += load(call.residual + first + 4 * i);
    store(call.c + first + 4 * i, sum[i]);
  }
}

void depthwise(const DepthwiseCall& call) {
  int64_t c = 0;
  for (; c + 16 <= call.channels; c += 16) depthwise_block<4>(call, c);
  for (; c + 4 <= call.channels; c += 4) depthwise_block<1>(call, c);
  for (; c < call.channels; ++c) {
    float sum = 0.0f;
    for (int64_t tap = 0; tap < call.taps; ++tap) sum += call.a[tap][c] * call.b[tap][c];
    if (call.scale) sum *= call.scale[c];
    if (call.bias) sum += call.bias[c];
    if (call.residual) sum += call.residual[c];
    call.c[c] = sum;
  }
}

void activate(Activation activation, float* values, int64_t count) { activate_span(activation, values, count); }

}  // namespace

const GemmKernels kGemmBaseline{kPanelColumns, 4, panel, depthwise, activate};

float activate_reference(Activation activation, float x) {
  switch (activation) {
    case Activation::relu:
      return x < 0.0f ? 0.0f : x;
    case Activation::sigmoid:
      return 1.0f / (1.0f + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
    default:
      return x;
  }
}

}  // namespace instaseg::cpu
