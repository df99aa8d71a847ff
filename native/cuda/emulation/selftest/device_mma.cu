// Tensor-core fragments against a plain matrix product, on small integers, whose sums are exact in every format;
// ldmatrix against the layout that the PTX manual gives.
#include "cuda/emulation/selftest/selftest.h"
#include "cuda/mma.h"

namespace instaseg::cuda::selftest {
namespace {

// D(16 x 8) = C + A(16 x K) * B(K x 8): operands in shared memory, A in rows of K, B in rows of K a column (8 x K).
// Fragments are gathered element by element, by the tables at the head of mma.h.
template <class T, int K>
__global__ void gathered_kernel(const T* __restrict__ a, const T* __restrict__ b, const float* __restrict__ c,
                                float* __restrict__ d) {
  const auto g = static_cast<int>(threadIdx.x) / 4;
  const auto t = static_cast<int>(threadIdx.x) % 4;
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  if constexpr (sizeof(T) == 4) {
    const uint32_t a_bits[4] = {to_tf32(a[g * K + t]), to_tf32(a[(g + 8) * K + t]), to_tf32(a[g * K + t + 4]),
                                to_tf32(a[(g + 8) * K + t + 4])};
    const uint32_t b_bits[2] = {to_tf32(b[g * K + t]), to_tf32(b[g * K + t + 4])};
    mma_m16n8k8_tf32(sums, a_bits, b_bits);
  } else {
    const auto pair = [](const T* row, int k) {
      return static_cast<uint32_t>(row[k].bits) | static_cast<uint32_t>(row[k + 1].bits) << 16;
    };
    uint32_t a_bits[K / 4];
    uint32_t b_bits[K / 8];
    for (int k = 0; k < K; k += 8) {
      a_bits[k / 4] = pair(a + g * K, k + 2 * t);
      a_bits[k / 4 + 1] = pair(a + (g + 8) * K, k + 2 * t);
      b_bits[k / 8] = pair(b + g * K, k + 2 * t);
    }
    if constexpr (K == 16) {
      mma_m16n8k16(sums, a_bits, b_bits, T{});
    } else {
      mma_m16n8k8(sums, a_bits, b_bits[0], T{});
    }
  }
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

// The same through ldmatrix. B is stored as 8 columns of K, or (transposed form) as K rows of 8.
template <class T, bool RowsOfB>
__global__ void loaded_kernel(const T* __restrict__ a, const T* __restrict__ b, const float* __restrict__ c,
                              float* __restrict__ d) {
  constexpr int kK = 16;
  INSTASEG_SHARED(T, a_tile, 16 * kK);
  INSTASEG_SHARED(T, b_tile, 8 * kK);
  const auto lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 16 * kK; i += 32) a_tile[i] = a[i];
  for (int i = lane; i < 8 * kK; i += 32) {
    if (RowsOfB) {
      b_tile[i % kK * 8 + i / kK] = b[i];
    } else {
      b_tile[i] = b[i];
    }
  }
  __syncthreads();
  uint32_t a_bits[4];
  uint32_t b_bits[2];
  ldmatrix_x4(a_bits, a_tile + lane % 16 * kK + lane / 16 * 8);
  if (RowsOfB) {
    ldmatrix_x2_trans(b_bits, b_tile + lane % 16 * 8);
  } else {
    ldmatrix_x2(b_bits, b_tile + lane % 8 * kK + lane / 8 % 2 * 8);
  }
  const int g = lane / 4;
  const int t = lane % 4;
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  mma_m16n8k16(sums, a_bits, b_bits, T{});
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

template <class T, int K, class Kernel>
void test_product(Kernel kernel) {
  // 11 bits: what f16 and tf32 hold; bf16 holds 8.
  const int limit = std::is_same_v<T, bf16> ? 255 : 2047;
  for (unsigned seed = 1; seed <= 8; ++seed) {
    const auto a = integers(seed, size_t{16} * K, -limit, limit);
    const auto b = integers(seed + 100, size_t{8} * K, -limit / 8, limit / 8);
    const auto c = integers(seed + 200, size_t{16} * 8, -1000, 1000);
    std::vector<float> expected;
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 8; ++n) {
        int sum = c[static_cast<size_t>(m * 8 + n)];
        for (int k = 0; k < K; ++k) sum += a[static_cast<size_t>(m * K + k)] * b[static_cast<size_t>(n * K + k)];
        expected.push_back(static_cast<float>(sum));
      }
    }
    const auto converted = [](const std::vector<int>& numbers) {
      std::vector<T> values;
      for (const int x : numbers) values.push_back(from_float<T>(static_cast<float>(x)));
      return values;
    };
    const DeviceArray<T> a_device(converted(a));
    const DeviceArray<T> b_device(converted(b));
    const DeviceArray<float> c_device(std::vector<float>(c.begin(), c.end()));
    const DeviceArray<float> d_device(size_t{16} * 8);
    launch(kStream, {.grid = 1, .block = 32}, kernel, a_device.data(), b_device.data(), c_device.data(),
           d_device.data());
    expect_equal(d_device.values(), expected, "seed " + std::to_string(seed));
  }
}

const Registration k16_f16{"mma.m16n8k16 f16", [] { test_product<f16, 16>(gathered_kernel<f16, 16>); }};
const Registration k16_bf16{"mma.m16n8k16 bf16", [] { test_product<bf16, 16>(gathered_kernel<bf16, 16>); }};
const Registration k8_f16{"mma.m16n8k8 f16", [] { test_product<f16, 8>(gathered_kernel<f16, 8>); }};
const Registration k8_tf32{"mma.m16n8k8 tf32", [] { test_product<float, 8>(gathered_kernel<float, 8>); }};
const Registration loaded_f16{"ldmatrix and mma, f16", [] { test_product<f16, 16>(loaded_kernel<f16, false>); }};
const Registration loaded_bf16{"ldmatrix and mma, bf16", [] { test_product<bf16, 16>(loaded_kernel<bf16, false>); }};
const Registration transposed_f16{"ldmatrix.trans and mma, f16",
                                  [] { test_product<f16, 16>(loaded_kernel<f16, true>); }};

// tf32 operands that were not rounded lose the fraction bits beyond the tenth.
__global__ void truncation_kernel(float value, float* __restrict__ d) {
  const uint32_t a[4] = {bits_of(value), bits_of(value), 0, 0};
  const uint32_t b[2] = {bits_of(1.0f), 0};
  float sums[4] = {};
  mma_m16n8k8_tf32(sums, a, b);
  // Four elements of k hold the value; the sum is four times it.
  if (threadIdx.x == 0) d[0] = sums[0];
}

const Registration truncation{"tf32 operands are truncated", [] {
                                const DeviceArray<float> d(1);
                                launch(kStream, {.grid = 1, .block = 32}, truncation_kernel, float_of(0x3f801fff),
                                       d.data());
                                expect_equal(d.values(), {4.0f}, "1 + 1023.9 / 1024 of the last place");
                              }};

// Row r of matrix m holds 64 m + 8 r + column.
__global__ void ldmatrix_kernel(uint32_t* __restrict__ out) {
  INSTASEG_SHARED(uint16_t, matrices, 4 * 64);
  const auto lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 4 * 64; i += 32) matrices[i] = static_cast<uint16_t>(i);
  __syncthreads();
  uint32_t four[4], four_transposed[4], two[2], two_transposed[2];
  ldmatrix_x4(four, matrices + lane * 8);
  ldmatrix_x4_trans(four_transposed, matrices + lane * 8);
  ldmatrix_x2(two, matrices + lane % 16 * 8);
  ldmatrix_x2_trans(two_transposed, matrices + lane % 16 * 8);
  for (int i = 0; i < 4; ++i) {
    out[lane * 12 + i] = four[i];
    out[lane * 12 + 4 + i] = four_transposed[i];
  }
  for (int i = 0; i < 2; ++i) {
    out[lane * 12 + 8 + i] = two[i];
    out[lane * 12 + 10 + i] = two_transposed[i];
  }
}

const Registration layouts{"ldmatrix layouts", [] {
                             const DeviceArray<uint32_t> out(size_t{32} * 12);
                             launch(kStream, {.grid = 1, .block = 32}, ldmatrix_kernel, out.data());
                             std::vector<uint32_t> expected;
                             for (uint32_t lane = 0; lane < 32; ++lane) {
                               const auto plain = [&](uint32_t m) {
                                 const uint32_t first = m * 64 + lane / 4 * 8 + lane % 4 * 2;
                                 return first | (first + 1) << 16;
                               };
                               const auto transposed = [&](uint32_t m) {
                                 const uint32_t first = m * 64 + lane % 4 * 2 * 8 + lane / 4;
                                 return first | (first + 8) << 16;
                               };
                               for (uint32_t m = 0; m < 4; ++m) expected.push_back(plain(m));
                               for (uint32_t m = 0; m < 4; ++m) expected.push_back(transposed(m));
                               for (uint32_t m = 0; m < 2; ++m) expected.push_back(plain(m));
                               for (uint32_t m = 0; m < 2; ++m) expected.push_back(transposed(m));
                             }
                             expect_equal(out.values(), expected, "registers");
                           }};

}  // namespace
}  // namespace instaseg::cuda::selftest
