// The fragment layouts are listed in cuda/mma.h.
#include "cuda/emulation/mma.h"

#include <cstring>

namespace instaseg::cuda::emulation {
namespace {

constexpr int kM = 16;
constexpr int kN = 8;

template <class T>
float element(const uint32_t* registers, int index) {
  return to_float(T{static_cast<uint16_t>(registers[index / 2] >> (index % 2 * 16))});
}

float truncated_tf32(uint32_t bits) { return float_of(bits & 0xffffe000u); }

/// Runs `body(g, t, operands)` for every lane.
template <class Body>
void each_lane(const WarpCall& call, const Body& body) {
  for (int lane = 0; lane < 32; ++lane) {
    body(lane / 4, lane % 4, *static_cast<const MmaOperands*>(call.lane[lane]));
  }
}

template <int K>
void multiply(const WarpCall& call, const float (&a)[kM][K], const float (&b)[kN][K]) {
  each_lane(call, [&](int g, int t, const MmaOperands& operands) {
    for (int i = 0; i < 4; ++i) {
      const float* row = a[g + i / 2 * 8];
      const float* column = b[2 * t + i % 2];
      float sum = operands.d[i];
      for (int k = 0; k < K; ++k) sum += row[k] * column[k];
      operands.d[i] = sum;
    }
  });
}

template <class T, int K>
void multiply_16bit(const WarpCall& call) {
  float a[kM][K];
  float b[kN][K];
  each_lane(call, [&](int g, int t, const MmaOperands& operands) {
    for (int k = 0; k < K; k += 8) {
      for (int i = 0; i < 2; ++i) {
        a[g][2 * t + k + i] = element<T>(operands.a, k / 2 + i);
        a[g + 8][2 * t + k + i] = element<T>(operands.a, k / 2 + 2 + i);
        b[g][2 * t + k + i] = element<T>(operands.b, k / 4 + i);
      }
    }
  });
  multiply(call, a, b);
}

void multiply_tf32(const WarpCall& call) {
  float a[kM][8];
  float b[kN][8];
  each_lane(call, [&](int g, int t, const MmaOperands& operands) {
    a[g][t] = truncated_tf32(operands.a[0]);
    a[g + 8][t] = truncated_tf32(operands.a[1]);
    a[g][t + 4] = truncated_tf32(operands.a[2]);
    a[g + 8][t + 4] = truncated_tf32(operands.a[3]);
    b[g][t] = truncated_tf32(operands.b[0]);
    b[g][t + 4] = truncated_tf32(operands.b[1]);
  });
  multiply(call, a, b);
}

template <int Matrices, bool Transposed>
void load(const WarpCall& call) {
  uint16_t matrices[Matrices][8][8];
  for (int row = 0; row < Matrices * 8; ++row) {
    const void* address = static_cast<const LdmatrixOperands*>(call.lane[row])->row;
    require_shared(address, 16, 16, "ldmatrix's row");
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
