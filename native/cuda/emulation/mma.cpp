// The fragment layouts are listed in cuda/mma.h.
#include "cuda/emulation/mma.h"

#include <cstring>

namespace instaseg::cuda::emulation {
namespace {

constexpr int kM = 16;
constexpr int kN = 8;

/// Runs `body(g, t, operands)` for every lane.
template <class Body>
void each_lane(const WarpCall& call, const Body& body) {
  for (int lane = 0; lane < 32; ++lane) {
    body(lane / 4, lane % 4, *static_cast<const MmaOperands*>(call.lane[lane]));
  }
}

// Operands are gathered as bits and widened in one loop; the product runs over whole rows of d. Both vectorise.

float widened(f16 x) {
  // to_float without a branch.
  const uint32_t rest = static_cast<uint32_t>(x.bits & 0x7fffu) << 13;
  const uint32_t finite = bits_of(float_of(rest) * 0x1p112f);
  const uint32_t magnitude = rest >= 0x0f800000u ? rest | 0x7f800000u : finite;
  return float_of(magnitude | static_cast<uint32_t>(x.bits & 0x8000u) << 16);
}
float widened(bf16 x) { return to_float(x); }

template <int K>
void multiply(const WarpCall& call, const float (&a)[kM][K], const float (&b)[K][kN]) {
  float d[kM][kN];
  each_lane(call, [&](int g, int t, const MmaOperands& operands) {
    for (int i = 0; i < 4; ++i) d[g + i / 2 * 8][2 * t + i % 2] = operands.d[i];
  });
  for (int m = 0; m < kM; ++m) {
    for (int k = 0; k < K; ++k) {
      for (int n = 0; n < kN; ++n) d[m][n] += a[m][k] * b[k][n];
    }
  }
  each_lane(call, [&](int g, int t, const MmaOperands& operands) {
    for (int i = 0; i < 4; ++i) operands.d[i] = d[g + i / 2 * 8][2 * t + i % 2];
  });
}

template <class T, int K>
void multiply_16bit(const WarpCall& call) {
  uint16_t a_bits[kM][K];
  uint16_t b_bits[K][kN];
  each_lane(call, [&](int g, int t, const MmaOperands& operands) {
    for (int k = 0; k < K; k += 8) {
      // The halves of a register are neighbours in k.
      std::memcpy(&a_bits[g][2 * t + k], &operands.a[k / 4], 4);
      std::memcpy(&a_bits[g + 8][2 * t + k], &operands.a[k / 4 + 1], 4);
      b_bits[2 * t + k][g] = static_cast<uint16_t>(operands.b[k / 8]);
      b_bits[2 * t + k + 1][g] = static_cast<uint16_t>(operands.b[k / 8] >> 16);
    }
  });
  float a[kM][K];
  float b[K][kN];
  for (int m = 0; m < kM; ++m) {
    for (int k = 0; k < K; ++k) a[m][k] = widened(T{a_bits[m][k]});
  }
  for (int k = 0; k < K; ++k) {
    for (int n = 0; n < kN; ++n) b[k][n] = widened(T{b_bits[k][n]});
  }
  multiply(call, a, b);
}

float truncated_tf32(uint32_t bits) { return float_of(bits & 0xffffe000u); }

void multiply_tf32(const WarpCall& call) {
  float a[kM][8];
  float b[8][kN];
  each_lane(call, [&](int g, int t, const MmaOperands& operands) {
    a[g][t] = truncated_tf32(operands.a[0]);
    a[g + 8][t] = truncated_tf32(operands.a[1]);
    a[g][t + 4] = truncated_tf32(operands.a[2]);
    a[g + 8][t + 4] = truncated_tf32(operands.a[3]);
    b[t][g] = truncated_tf32(operands.b[0]);
    b[t + 4][g] = truncated_tf32(operands.b[1]);
  });
  multiply(call, a, b);
}

template <int Matrices, bool Transposed>
void load(const WarpCall& call) {
  uint16_t matrices[Matrices][8][8];
  for (int row = 0; row < Matrices * 8; ++row) {
    const void* address = static_cast<const LdmatrixOperands*>(call.lane[row])->row;
    std::memcpy(matrices[row / 8][row % 8], address, 16);
  }
  for (int lane = 0; lane < 32; ++lane) {
    const int i = lane / 4;
    const int j = lane % 4 * 2;
    for (int m = 0; m < Matrices; ++m) {
      const auto& matrix = matrices[m];
      const uint32_t low = Transposed ? matrix[j][i] : matrix[i][j];
      const uint32_t high = Transposed ? matrix[j + 1][i] : matrix[i][j + 1];
      static_cast<const LdmatrixOperands*>(call.lane[lane])->registers[m] = low | high << 16;
    }
  }
}

}  // namespace

const WarpOperation mma_k16_f16{"mma.m16n8k16 (f16)", multiply_16bit<f16, 16>};
const WarpOperation mma_k16_bf16{"mma.m16n8k16 (bf16)", multiply_16bit<bf16, 16>};
const WarpOperation mma_k8_f16{"mma.m16n8k8 (f16)", multiply_16bit<f16, 8>};
const WarpOperation mma_k8_tf32{"mma.m16n8k8 (tf32)", multiply_tf32};
const WarpOperation ldmatrix_2{"ldmatrix.x2", load<2, false>};
const WarpOperation ldmatrix_4{"ldmatrix.x4", load<4, false>};
const WarpOperation ldmatrix_2_trans{"ldmatrix.x2.trans", load<2, true>};
const WarpOperation ldmatrix_4_trans{"ldmatrix.x4.trans", load<4, true>};

}  // namespace instaseg::cuda::emulation
