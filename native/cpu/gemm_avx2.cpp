// The matrix product under convolution and linear, for AVX2 with FMA: tiles of 6 rows and 16 columns.
#include "cpu/gemm.h"

#ifdef INSTASEG_X86
#include <immintrin.h>

#include <algorithm>

#include "cpu/gemm_activation.h"

namespace instaseg::cpu {
namespace {

struct Masks {
  __m256i low;
  __m256i high;
};

// 12 sums, two weights and a broadcast value: 15 of the 16 registers. Fewer rows run the same sequence a row.
template <int Rows, bool Full>
INSTASEG_AVX2 inline void tile(const PanelCall& call, int64_t row, const Masks& masks) {
  __m256 sum[Rows][2];
#pragma GCC unroll 6
  for (int i = 0; i < Rows; ++i) {
    const float* c = call.c + call.c_rows[row + i];
    if (!call.resume) {
      sum[i][0] = sum[i][1] = _mm256_setzero_ps();
    } else if (Full) {
      sum[i][0] = _mm256_loadu_ps(c);
      sum[i][1] = _mm256_loadu_ps(c + 8);
    } else {
      sum[i][0] = _mm256_maskload_ps(c, masks.low);
      sum[i][1] = _mm256_maskload_ps(c + 8, masks.high);
    }
  }
  const float* b = call.b;
  for (int64_t tap = 0; tap < call.taps; ++tap) {
    const float* a[Rows];
#pragma GCC unroll 6
    for (int i = 0; i < Rows; ++i) a[i] = call.a[tap * call.a_stride + row + i] + call.a_offset;
#pragma GCC unroll 4
    for (int64_t k = 0; k < call.run; ++k) {
      const __m256 b0 = _mm256_load_ps(b);
      const __m256 b1 = _mm256_load_ps(b + 8);
      b += kPanelColumns;
#pragma GCC unroll 6
      for (int i = 0; i < Rows; ++i) {
        const __m256 value = _mm256_broadcast_ss(a[i] + k);
        sum[i][0] = _mm256_fmadd_ps(value, b0, sum[i][0]);
        sum[i][1] = _mm256_fmadd_ps(value, b1, sum[i][1]);
      }
    }
  }
  if (call.finish) {
    const __m256 scale0 = _mm256_loadu_ps(call.scale);
    const __m256 scale1 = _mm256_loadu_ps(call.scale + 8);
    const __m256 bias0 = _mm256_loadu_ps(call.bias);
    const __m256 bias1 = _mm256_loadu_ps(call.bias + 8);
#pragma GCC unroll 6
    for (int i = 0; i < Rows; ++i) {
      sum[i][0] = _mm256_fmadd_ps(sum[i][0], scale0, bias0);
      sum[i][1] = _mm256_fmadd_ps(sum[i][1], scale1, bias1);
    }
    if (call.residual) {
#pragma GCC unroll 6
      for (int i = 0; i < Rows; ++i) {
        const float* residual = call.residual + call.c_rows[row + i];
        sum[i][0] =
            _mm256_add_ps(sum[i][0], Full ? _mm256_loadu_ps(residual) : _mm256_maskload_ps(residual, masks.low));
        sum[i][1] = _mm256_add_ps(sum[i][1],
                                  Full ? _mm256_loadu_ps(residual + 8) : _mm256_maskload_ps(residual + 8, masks.high));
      }
    }
    if (call.relu) {
      // maxps gives its second operand where one is NaN.
#pragma GCC unroll 6
      for (int i = 0; i < Rows; ++i) {
        sum[i][0] = _mm256_max_ps(_mm256_setzero_ps(), sum[i][0]);
        sum[i][1] = _mm256_max_ps(_mm256_setzero_ps(), sum[i][1]);
      }
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < Rows; ++i) {
    float* c = call.c + call.c_rows[row + i];
    if (Full) {
      _mm256_storeu_ps(c, sum[i][0]);
      _mm256_storeu_ps(c + 8, sum[i][1]);
    } else {
      _mm256_maskstore_ps(c, masks.low, sum[i][0]);
      _mm256_maskstore_ps(c + 8, masks.high, sum[i][1]);
    }
  }
}

template <bool Full>
INSTASEG_AVX2 inline void rows(const PanelCall& call, const Masks& masks) {
  // The next weights are fetched in equal shares before the tiles.
  const int64_t lines = call.next_b ? call.taps * call.run : 0;
  const int64_t share = lines / (call.rows / kTileRows + 1) + 1;
  int64_t line = 0;
  int64_t row = 0;
  for (; row + kTileRows <= call.rows; row += kTileRows) {
    for (const int64_t end = std::min(line + share, lines); line < end; ++line) {
      _mm_prefetch(reinterpret_cast<const char*>(call.next_b + line * kPanelColumns), _MM_HINT_T1);
    }
    tile<6, Full>(call, row, masks);
  }
  switch (call.rows - row) {
    case 5:
      return tile<5, Full>(call, row, masks);
    case 4:
      return tile<4, Full>(call, row, masks);
    case 3:
      return tile<3, Full>(call, row, masks);
    case 2:
      return tile<2, Full>(call, row, masks);
    case 1:
      return tile<1, Full>(call, row, masks);
    default:
      return;
  }
}

INSTASEG_AVX2 void panel(const PanelCall& call) {
  const __m256i columns = _mm256_set1_epi32(static_cast<int>(call.columns));
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const Masks masks{_mm256_cmpgt_epi32(columns, lanes),
                    _mm256_cmpgt_epi32(columns, _mm256_add_epi32(lanes, _mm256_set1_epi32(8)))};
  if (call.columns == kPanelColumns) {
    rows<true>(call, masks);
  } else {
    rows<false>(call, masks);
  }
}

// Channels [first, first + 8 * Vectors), summed in registers in the order of the taps; the lanes outside `mask`, where
// it is used, are neither read nor written.
template <int Vectors, bool Full>
INSTASEG_AVX2 inline void depthwise_block(const DepthwiseCall& call, int64_t first, __m256i mask) {
  const auto load = [&](const float* p)
                        INSTASEG_AVX2 { return Full ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mask); };
  __m256 sum[Vectors];
#pragma GCC unroll 4
  for (int i = 0; i < Vectors; ++i) sum[i] = _mm256_setzero_ps();
  for (int64_t tap = 0; tap < call.taps; ++tap) {
    const float* a = call.a[tap] + first;
    const float* b = call.b[tap] + first;
#pragma GCC unroll 4
    for (int i = 0; i < Vectors; ++i) sum[i] = _mm256_fmadd_ps(load(a + 8 * i), load(b + 8 * i), sum[i]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < Vectors; ++i) {
    if (call.scale) sum[i] = _mm256_mul_ps(sum[i], load(call.scale + first + 8 * i));
    if (call.bias) sum[i] = _mm256_add_ps(sum[i], load(call.bias + first + 8 * i));
    if (call.residual) sum[i] = _mm256_add_ps(sum[i], load(call.residual + first + 8 * i));
    if (Full) {
      _mm256_storeu_ps(call.c + first + 8 * i, sum[i]);
    } else {
      _mm256_maskstore_ps(call.c + first + 8 * i, mask, sum[i]);
    }
  }
}

INSTASEG_AVX2 void depthwise(const DepthwiseCall& call) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  int64_t c = 0;
  for (; c + 32 <= call.channels; c += 32) depthwise_block<4, true>(call, c, lanes);
  for (; c + 8 <= call.channels; c += 8) depthwise_block<1, true>(call, c, lanes);
  if (c < call.channels) {
    const __m256i left = _mm256_set1_epi32(static_cast<int>(call.channels - c));
    depthwise_block<1, false>(call, c, _mm256_cmpgt_epi32(left, lanes));
  }
}

INSTASEG_AVX2 void activate(Activation activation, float* values, int64_t count) {
  activate_span(activation, values, count);
}

}  // namespace

const GemmKernels kGemmAvx2{panel, depthwise, activate};

}  // namespace instaseg::cpu
#endif
