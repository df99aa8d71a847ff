// Shuffles, votes and bit functions.
#include <bit>

#include "cuda/emulation/selftest/selftest.h"

namespace instaseg::cuda::selftest {
namespace {

__device__ int inclusive_scan(int value) {
  const auto lane = static_cast<int>(threadIdx.x % 32);
  for (int delta = 1; delta < 32; delta *= 2) {
    const int below = __shfl_up_sync(0xffffffffu, value, static_cast<unsigned>(delta));
    if (lane >= delta) value += below;
  }
  return value;
}

__global__ void scan_kernel(const int* __restrict__ input, int* __restrict__ output) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  output[i] = inclusive_scan(input[i]);
}

const Registration scan{"warp scan", [] {
                          const auto numbers = integers(3, 4 * 96, -100, 100);
                          std::vector<int> expected(numbers.size());
                          for (size_t i = 0; i < numbers.size(); ++i)
                            expected[i] = numbers[i] + (i % 32 ? expected[i - 1] : 0);
                          const DeviceArray<int> input(numbers);
                          const DeviceArray<int> output(numbers.size());
                          launch(kStream, {.grid = 4, .block = 96}, scan_kernel, input.data(), output.data());
                          expect_equal(output.values(), expected, "scan");
                        }};

// out[form][lane] for one width and selector.
template <class T>
__global__ void shuffle_kernel(T* __restrict__ out, int selector, int width) {
  const T own = static_cast<T>(threadIdx.x * 3 + 1);
  out[threadIdx.x] = __shfl_sync(0xffffffffu, own, selector, width);
  out[32 + threadIdx.x] = __shfl_up_sync(0xffffffffu, own, static_cast<unsigned>(selector), width);
  out[64 + threadIdx.x] = __shfl_down_sync(0xffffffffu, own, static_cast<unsigned>(selector), width);
  out[96 + threadIdx.x] = __shfl_xor_sync(0xffffffffu, own, selector, width);
}

template <class T>
void test_shuffles() {
  for (const int width : {1, 2, 8, 16, 32}) {
    for (const int selector : {0, 1, 3, 7, 16, 31}) {
      const DeviceArray<T> out(128);
      launch(kStream, {.grid = 1, .block = 32}, shuffle_kernel<T>, out.data(), selector, width);
      std::vector<T> expected(128);
      for (int lane = 0; lane < 32; ++lane) {
        const int first = lane / width * width;
        const int last = first + width - 1;
        const auto value = [](int from) { return static_cast<T>(from * 3 + 1); };
        const auto at = static_cast<size_t>(lane);
        expected[at] = value(first + selector % width);
        expected[32 + at] = value(lane - selector >= first ? lane - selector : lane);
        expected[64 + at] = value(lane + selector <= last ? lane + selector : lane);
        expected[96 + at] = value((lane ^ selector) <= last ? lane ^ selector : lane);
      }
      expect_equal(out.values(), expected, "width " + std::to_string(width) + ", selector " + std::to_string(selector));
    }
  }
}

const Registration shuffles_f32{"shuffles, f32", test_shuffles<float>};
const Registration shuffles_u32{"shuffles, unsigned", test_shuffles<unsigned>};
const Registration shuffles_i64{"shuffles, long long", test_shuffles<long long>};
const Registration shuffles_f64{"shuffles, f64", test_shuffles<double>};

// The halves of each warp vote under masks of their own, in different branches.
__global__ void vote_kernel(unsigned* __restrict__ out) {
  const unsigned lane = threadIdx.x % 32;
  unsigned ballot = 0;
  bool any = false, all = false;
  if (lane < 16) {
    ballot = __ballot_sync(0x0000ffffu, lane % 3 == 0);
    any = __any_sync(0x0000ffffu, lane == 20);
    all = __all_sync(0x0000ffffu, lane < 16);
  } else {
    ballot = __ballot_sync(0xffff0000u, lane % 3 == 0);
    any = __any_sync(0xffff0000u, lane == 20);
    all = __all_sync(0xffff0000u, lane != 31);
  }
  __syncwarp();
  out[threadIdx.x * 3] = ballot;
  out[threadIdx.x * 3 + 1] = any;
  out[threadIdx.x * 3 + 2] = all;
}

const Registration votes{
    "votes of half warps", [] {
      const DeviceArray<unsigned> out(size_t{64} * 3);
      launch(kStream, {.grid = 1, .block = 64}, vote_kernel, out.data());
      unsigned thirds = 0;
      for (unsigned lane = 0; lane < 32; lane += 3) thirds |= 1u << lane;
      std::vector<unsigned> expected;
      for (unsigned thread = 0; thread < 64; ++thread) {
        const bool low = thread % 32 < 16;
        expected.insert(expected.end(), {thirds & (low ? 0xffffu : 0xffff0000u), low ? 0u : 1u, low ? 1u : 0u});
      }
      expect_equal(out.values(), expected, "votes");
    }};

// Values pass between lanes through memory, ordered by __syncwarp alone.
__global__ void syncwarp_kernel(int* __restrict__ out) {
  INSTASEG_SHARED(int, cells, 64);
  const unsigned thread = threadIdx.x;
  cells[thread] = static_cast<int>(thread);
  __syncwarp();
  const int other = cells[thread ^ 31];
  __syncwarp();
  cells[thread] = other * 2;
  __syncwarp();
  out[thread] = cells[thread ^ 1];
}

const Registration warp_order{"__syncwarp orders shared memory", [] {
                                const DeviceArray<int> out(64);
                                launch(kStream, {.grid = 1, .block = 64}, syncwarp_kernel, out.data());
                                std::vector<int> expected;
                                for (int thread = 0; thread < 64; ++thread) expected.push_back(2 * (thread ^ 1 ^ 31));
                                expect_equal(out.values(), expected, "cells");
                              }};

__global__ void bits_kernel(const unsigned* __restrict__ input, int* __restrict__ out, int count) {
  for (auto i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    const unsigned x = input[i];
    const unsigned long long wide = static_cast<unsigned long long>(x) << 20;
    out[i * 6] = __popc(x);
    out[i * 6 + 1] = __popcll(wide);
    out[i * 6 + 2] = __ffs(static_cast<int>(x));
    out[i * 6 + 3] = __clz(static_cast<int>(x));
    out[i * 6 + 4] = static_cast<int>(__brev(x));
    out[i * 6 + 5] = __float_as_int(__fmaf_rn(__uint_as_float(x % 1000), 2.0f, __int_as_float(1 << 23)));
  }
}

const Registration bits{
    "bit functions", [] {
      const std::vector<unsigned> numbers{0, 1, 2, 3, 0x80000000u, 0xffffffffu, 0x00ff00f0u, 12345678u};
      const DeviceArray<unsigned> input(numbers);
      const DeviceArray<int> out(numbers.size() * 6);
      launch(kStream, {.grid = 1, .block = 32}, bits_kernel, input.data(), out.data(),
             static_cast<int>(numbers.size()));
      std::vector<int> expected;
      for (const unsigned x : numbers) {
        unsigned reversed = 0;
        for (int bit = 0; bit < 32; ++bit) reversed |= (x >> bit & 1) << (31 - bit);
        expected.insert(expected.end(), {std::popcount(x), std::popcount(x), x ? std::countr_zero(x) + 1 : 0,
                                         std::countl_zero(x), static_cast<int>(reversed),
                                         // 2^-126 plus twice a subnormal of that many units
                                         (1 << 23) + 2 * static_cast<int>(x % 1000)});
      }
      expect_equal(out.values(), expected, "bits");
    }};

}  // namespace
}  // namespace instaseg::cuda::selftest
