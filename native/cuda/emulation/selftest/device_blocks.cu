// Barriers, shared memory, atomics and asynchronous copies.
#include <algorithm>
#include <numeric>

#include "cuda/emulation/selftest/selftest.h"
#include "cuda/mma.h"

namespace instaseg::cuda::selftest {
namespace {

// Sum of each block's part: shared tree down to a warp, then shuffles.
template <class T, int Block>
__global__ void sum_kernel(const T* __restrict__ input, T* __restrict__ sums, int count) {
  INSTASEG_SHARED(T, part, Block);
  const int thread = static_cast<int>(threadIdx.x);
  T sum = 0;
  const int stride = static_cast<int>(gridDim.x) * Block;
  for (int i = static_cast<int>(blockIdx.x) * Block + thread; i < count; i += stride) sum += input[i];
  part[thread] = sum;
  __syncthreads();
  for (int half = Block / 2; half >= 32; half /= 2) {
    if (thread < half) part[thread] += part[thread + half];
    __syncthreads();
  }
  if (thread < 32) {
    sum = part[thread];
    for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_down_sync(0xffffffffu, sum, lanes);
    if (thread == 0) sums[blockIdx.x] = sum;
  }
}

template <class T, int Block>
void test_sum() {
  for (const int count : {0, 1, Block - 1, Block, Block + 1, 5 * Block + 17}) {
    const auto numbers = integers(static_cast<unsigned>(count), static_cast<size_t>(count), -9, 9);
    const DeviceArray<T> input(std::vector<T>(numbers.begin(), numbers.end()));
    const DeviceArray<T> sums(3);
    launch(kStream, {.grid = 3, .block = Block}, sum_kernel<T, Block>, input.data(), sums.data(), count);
    const auto parts = sums.values();
    const T expected = std::accumulate(numbers.begin(), numbers.end(), T{0});
    expect(std::accumulate(parts.begin(), parts.end(), T{0}) == expected, "sum of " + std::to_string(count));
  }
}

const Registration sum_f32{"block sum, f32", test_sum<float, 256>};
const Registration sum_i64{"block sum, i64", test_sum<long long, 64>};
const Registration sum_large{"block sum, 1024 threads", test_sum<int, 1024>};

// A matrix transposed through a padded tile; two dimensions of threads and blocks.
__global__ void transpose_kernel(const float* __restrict__ input, float* __restrict__ output, int rows, int columns) {
  using Row = float[33];
  INSTASEG_SHARED(Row, tile, 32);
  const auto x = static_cast<int>(threadIdx.x);
  const auto x0 = static_cast<int>(blockIdx.x) * 32;
  const auto y0 = static_cast<int>(blockIdx.y) * 32;
  for (auto y = static_cast<int>(threadIdx.y); y < 32; y += static_cast<int>(blockDim.y)) {
    if (y0 + y < rows && x0 + x < columns) tile[y][x] = input[(y0 + y) * columns + x0 + x];
  }
  __syncthreads();
  for (auto y = static_cast<int>(threadIdx.y); y < 32; y += static_cast<int>(blockDim.y)) {
    if (x0 + y < columns && y0 + x < rows) output[(x0 + y) * rows + y0 + x] = tile[x][y];
  }
}

const Registration transposed{
    "transpose through shared memory", [] {
      for (const auto& [rows, columns] : {std::pair{1, 1}, {31, 33}, {32, 32}, {64, 95}, {70, 3}}) {
        std::vector<float> matrix(static_cast<size_t>(rows * columns));
        std::iota(matrix.begin(), matrix.end(), 0.0f);
        std::vector<float> expected(matrix.size());
        for (int y = 0; y < rows; ++y) {
          for (int x = 0; x < columns; ++x) {
            expected[static_cast<size_t>(x * rows + y)] = matrix[static_cast<size_t>(y * columns + x)];
          }
        }
        const DeviceArray<float> input(matrix);
        const DeviceArray<float> output(matrix.size());
        launch(kStream, {.grid = dim3(blocks_for(columns, 32), blocks_for(rows, 32)), .block = dim3(32, 8)},
               transpose_kernel, input.data(), output.data(), rows, columns);
        expect_equal(output.values(), expected, std::to_string(rows) + " x " + std::to_string(columns));
      }
    }};

// Two static arrays and the dynamic one are three different ones, aligned to 128 bytes.
template <class T>
__global__ void arrays_kernel(int* __restrict__ wrong, int count) {
  INSTASEG_SHARED(T, first, 37);
  INSTASEG_SHARED(char, second, 5);
  INSTASEG_DYNAMIC_SHARED(T, third);
  INSTASEG_DYNAMIC_SHARED(unsigned char, bytes);
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread < 37) first[thread] = static_cast<T>(thread);
  if (thread < 5) second[thread] = static_cast<char>(100 + thread);
  for (int i = thread; i < count; i += static_cast<int>(blockDim.x)) third[i] = static_cast<T>(1000 + i % 1000);
  __syncthreads();
  int bad = 0;
  if (reinterpret_cast<uintptr_t>(first) % 128 || reinterpret_cast<uintptr_t>(second) % 128) ++bad;
  if (reinterpret_cast<uintptr_t>(third) % 128 || static_cast<void*>(third) != static_cast<void*>(bytes)) ++bad;
  if (thread < 37 && first[thread] != static_cast<T>(thread)) ++bad;
  if (thread < 5 && second[thread] != static_cast<char>(100 + thread)) ++bad;
  for (int i = thread; i < count; i += static_cast<int>(blockDim.x)) bad += third[i] != static_cast<T>(1000 + i % 1000);
  if (bad) atomicAdd(wrong, bad);
}

const Registration arrays{
    "static and dynamic shared arrays", [] {
      for (const int count : {1, 1000, 24000}) {  // the last takes more than a block has without being asked
        const DeviceArray<int> wrong(1);
        launch(kStream, {.grid = 2, .block = 96, .shared_bytes = static_cast<size_t>(count) * sizeof(float)},
               arrays_kernel<float>, wrong.data(), count);
        expect_equal(wrong.values(), {0}, std::to_string(count));
      }
    }};

__global__ void barrier_votes_kernel(int* __restrict__ results, int threshold) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int any = __syncthreads_or(thread == threshold);
  const int all = __syncthreads_and(thread < threshold);
  const int count = __syncthreads_count(thread < threshold);
  if (thread == static_cast<int>(blockDim.x) - 1) {
    results[0] = any != 0;
    results[1] = all != 0;
    results[2] = count;
  }
}

const Registration barrier_votes{
    "__syncthreads_or, _and and _count", [] {
      const DeviceArray<int> results(3);
      for (const int threshold : {0, 1, 63, 99, 100, 1000}) {
        launch(kStream, {.grid = 1, .block = 100}, barrier_votes_kernel, results.data(), threshold);
        expect_equal(results.values(), {threshold < 100, threshold >= 100, std::min(threshold, 100)},
                     std::to_string(threshold));
      }
    }};

template <class T>
__global__ void atomics_kernel(T* __restrict__ cells, T* __restrict__ histogram) {
  INSTASEG_SHARED(T, shared_histogram, 16);
  const unsigned thread = threadIdx.x;
  if (thread < 16) shared_histogram[thread] = 0;
  __syncthreads();
  atomicAdd(&shared_histogram[thread % 16], static_cast<T>(1));
  __syncthreads();
  if (thread < 16) atomicAdd(&histogram[thread], shared_histogram[thread]);
  const T id = static_cast<T>(blockIdx.x * blockDim.x + thread);
  atomicMax(&cells[0], id);
  atomicMin(&cells[1], id);
  atomicOr(&cells[2], static_cast<T>(1) << thread % 20);
  atomicAnd(&cells[3], ~(static_cast<T>(1) << thread % 20));
  // Whoever finds 0 in the cell is the only one.
  if (atomicCAS(&cells[4], static_cast<T>(0), id + 1) == 0) atomicAdd(&cells[5], static_cast<T>(1));
  // Every value that is exchanged in comes out once, but for the last.
  atomicAdd(&cells[7], atomicExch(&cells[6], id + 1));
}

template <class T>
void test_atomics() {
  constexpr int kBlocks = 3, kBlock = 80, kThreads = kBlocks * kBlock;
  const DeviceArray<T> cells(std::vector<T>{0, 1000, 0, static_cast<T>(0xfffff), 0, 0, 0, 0});
  const DeviceArray<T> histogram(16);
  launch(kStream, {.grid = kBlocks, .block = kBlock}, atomics_kernel<T>, cells.data(), histogram.data());
  expect_equal(histogram.values(), std::vector<T>(16, kThreads / 16), "histogram");
  const auto values = cells.values();
  expect(values[0] == kThreads - 1, "atomicMax");
  expect(values[1] == 0, "atomicMin");
  expect(values[2] == 0xfffff, "atomicOr");
  expect(values[3] == 0, "atomicAnd");
  expect(values[4] >= 1 && values[4] <= kThreads && values[5] == 1, "atomicCAS");
  expect(values[6] + values[7] == kThreads * (kThreads + 1) / 2, "atomicExch");
}

const Registration atomics_i32{"atomics, int", test_atomics<int>};
const Registration atomics_u32{"atomics, unsigned", test_atomics<unsigned>};
const Registration atomics_u64{"atomics, unsigned long long", test_atomics<unsigned long long>};

// Rows of 16 floats stream through three stages of shared memory; rows past the end come as zeros.
__global__ void pipeline_kernel(const float* __restrict__ rows, int count, int tiles, float* __restrict__ sums) {
  constexpr int kStages = 3, kRows = 8, kWidth = 16;
  INSTASEG_SHARED(float, stages, kStages* kRows* kWidth);
  const auto thread = static_cast<int>(threadIdx.x);  // 32: one 16-byte piece of a tile each
  const auto fetch = [&](int tile) {
    if (tile < tiles) {
      const int row = tile * kRows + thread / 4;
      const bool valid = row < count;
      cp_async16(stages + (tile % kStages * kRows + thread / 4) * kWidth + thread % 4 * 4,
                 rows + (valid ? row : 0) * kWidth + thread % 4 * 4, valid);
    }
    cp_async_commit();
  };
  for (int tile = 0; tile < kStages - 1; ++tile) fetch(tile);
  float sum = 0;
  for (int tile = 0; tile < tiles; ++tile) {
    cp_async_wait<kStages - 2>();
    __syncthreads();
    fetch(tile + kStages - 1);
    // Another thread's pieces: a column of the tile.
    if (thread < kWidth) {
      for (int row = 0; row < kRows; ++row) sum += stages[(tile % kStages * kRows + row) * kWidth + thread];
    }
  }
  if (thread < kWidth) sums[thread] = sum;
}

const Registration pipeline{"cp.async pipeline of three stages", [] {
                              for (const int count : {1, 7, 8, 9, 24, 61}) {
                                const auto numbers = integers(7, static_cast<size_t>(count) * 16, -50, 50);
                                std::vector<float> expected(16);
                                for (size_t i = 0; i < numbers.size(); ++i)
                                  expected[i % 16] += static_cast<float>(numbers[i]);
                                const DeviceArray<float> rows(std::vector<float>(numbers.begin(), numbers.end()));
                                const DeviceArray<float> sums(16);
                                launch(kStream, {.grid = 1, .block = 32}, pipeline_kernel, rows.data(), count,
                                       (count + 7) / 8, sums.data());
                                expect_equal(sums.values(), expected, std::to_string(count) + " rows");
                              }
                            }};

__global__ void indices_kernel(int* __restrict__ seen) {
  const dim3 t(threadIdx.x, threadIdx.y, threadIdx.z);
  const unsigned thread = (t.z * blockDim.y + t.y) * blockDim.x + t.x;
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  atomicAdd(&seen[block * blockDim.x * blockDim.y * blockDim.z + thread], 1);
}

const Registration indices{"every thread of every block runs once", [] {
                             const dim3 grid(5, 3, 2), block(7, 4, 3);
                             const DeviceArray<int> seen(size_t{30} * 84);
                             launch(kStream, {.grid = grid, .block = block}, indices_kernel, seen.data());
                             expect_equal(seen.values(), std::vector<int>(size_t{30} * 84, 1), "visits");
                             launch(kStream, {.grid = dim3(5, 0, 2), .block = block}, indices_kernel, seen.data());
                             expect_equal(seen.values(), std::vector<int>(size_t{30} * 84, 1),
                                          "visits after an empty grid");
                           }};

}  // namespace
}  // namespace instaseg::cuda::selftest
