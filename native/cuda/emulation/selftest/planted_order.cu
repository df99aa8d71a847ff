// Missing barriers and waits, reads of what nothing has written: the result is wrong under some schedules at least.
// Each kernel is a template of the fix.
#include <cmath>

#include "cuda/emulation/selftest/planted.h"
#include "cuda/mma.h"

namespace instaseg::cuda::selftest {
namespace {

using Kernel = void (*)(const float*, float*);

/// Whether a block of 64 threads turns 1, 2, ... 128 into `expected(i)`.
std::function<bool()> gives(Kernel kernel, float (*expected)(int i), int count = 64) {
  return [=] {
    std::vector<float> numbers;
    for (int i = 0; i < 128; ++i) numbers.push_back(static_cast<float>(i + 1));
    const DeviceArray<float> input(numbers);
    const DeviceArray<float> output(128, NAN);
    launch(kStream, {.grid = 1, .block = 64}, kernel, input.data(), output.data());
    const auto values = output.values();
    for (int i = 0; i < count; ++i) {
      if (values[static_cast<size_t>(i)] != expected(i)) return false;
    }
    return true;
  };
}

float reversed(int i) { return static_cast<float>(64 - i % 64 + i / 64 * 64); }

template <bool Fixed>
__global__ void write_then_read(const float* in, float* out) {
  INSTASEG_SHARED(float, tile, 64);
  tile[threadIdx.x] = in[threadIdx.x];
  if (Fixed) __syncthreads();
  out[threadIdx.x] = tile[63 - threadIdx.x];
}
const Wrong missing_barrier{"a missing barrier between write and read", gives(write_then_read<false>, reversed),
                            gives(write_then_read<true>, reversed), 16, "of `tile` is read"};

// Without the second barrier a thread overwrites in round 1 what another still reads in round 0.
template <bool Fixed>
__global__ void read_then_write(const float* in, float* out) {
  INSTASEG_SHARED(float, tile, 64);
  for (unsigned round = 0; round < 2; ++round) {
    tile[threadIdx.x] = in[64 * round + threadIdx.x];
    __syncthreads();
    out[64 * round + threadIdx.x] = tile[63 - threadIdx.x];
    if (Fixed) __syncthreads();
  }
}
const Wrong missing_second_barrier{"a missing barrier between read and write",
                                   gives(read_then_write<false>, reversed, 128),
                                   gives(read_then_write<true>, reversed, 128), 16, "of `tile` is"};

template <bool Fixed>
__global__ void lanes_through_memory(const float* in, float* out) {
  INSTASEG_SHARED(float, tile, 64);
  tile[threadIdx.x] = in[threadIdx.x];
  if (Fixed) __syncwarp();
  out[threadIdx.x] = tile[threadIdx.x ^ 1];
}
const Wrong missing_syncwarp{
    "a missing __syncwarp", gives(lanes_through_memory<false>, [](int i) { return static_cast<float>((i ^ 1) + 1); }),
    gives(lanes_through_memory<true>, [](int i) { return static_cast<float>((i ^ 1) + 1); }), 16, "of `tile` is read"};

// A reduction step that leaves out the barrier within the loop.
template <bool Fixed>
__global__ void tree_sum(const float* in, float* out) {
  INSTASEG_SHARED(float, part, 64);
  part[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  for (unsigned half = 32; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    if (Fixed) __syncthreads();
  }
  if (!Fixed) __syncthreads();
  out[threadIdx.x] = part[0];
}
const Wrong missing_barrier_in_loop{"a missing barrier in a reduction's loop",
                                    gives(tree_sum<false>, [](int) { return 2080.0f; }),
                                    gives(tree_sum<true>, [](int) { return 2080.0f; }), 16, "of `part` is"};

// The ends of a row with a halo: only the middle is written.
template <bool Fixed>
__global__ void unwritten_halo(const float* in, float* out) {
  INSTASEG_SHARED(float, row, 66);
  row[threadIdx.x + 1] = in[threadIdx.x];
  if (Fixed && threadIdx.x < 2) row[threadIdx.x * 65] = 0;
  __syncthreads();
  out[threadIdx.x] = row[threadIdx.x] + row[threadIdx.x + 2];
}
float neighbours(int i) { return static_cast<float>((i > 0 ? i : 0) + (i < 63 ? i + 2 : 0)); }
const Wrong unwritten{"a read of unwritten shared memory", gives(unwritten_halo<false>, neighbours),
                      gives(unwritten_halo<true>, neighbours), 16, "of `row` is read, but nothing has written it"};

// The largest number: 0xff bytes are NaN, which fmax drops, 0x7f bytes are not.
template <bool Fixed>
__global__ void unwritten_maximum(const float* in, float* out) {
  INSTASEG_SHARED(float, row, 65);
  row[threadIdx.x] = in[threadIdx.x];
  if (Fixed && threadIdx.x == 0) row[64] = 0;
  __syncthreads();
  float largest = 0;
  for (int i = 0; i < 65; ++i) largest = fmaxf(largest, row[i]);
  out[threadIdx.x] = largest;
}
const Wrong unwritten_under_maximum{"a maximum over unwritten shared memory",
                                    gives(unwritten_maximum<false>, [](int) { return 64.0f; }),
                                    gives(unwritten_maximum<true>, [](int) { return 64.0f; }), 4,
                                    "byte 256 of `row` is read, but nothing has written it"};

template <bool Fixed>
__global__ void no_wait(const float* in, float* out) {
  INSTASEG_SHARED(float, tile, 64);
  if (threadIdx.x < 16) cp_async16(tile + threadIdx.x * 4, in + threadIdx.x * 4, true);
  cp_async_commit();
  if (Fixed) cp_async_wait<0>();
  __syncthreads();
  out[threadIdx.x] = tile[63 - threadIdx.x];
}
const Wrong unwaited{"a cp.async that nobody waits for", gives(no_wait<false>, reversed),
                     gives(no_wait<true>, reversed), 16, "of `tile` is read"};

// Two groups, both read, and a wait that lets `Pending` be under way.
template <int Pending>
__global__ void wait_for_groups(const float* in, float* out) {
  INSTASEG_SHARED(float, tile, 64);
  for (unsigned group = 0; group < 2; ++group) {
    const unsigned at = group * 32 + threadIdx.x * 4;
    if (threadIdx.x < 8) cp_async16(tile + at, in + at, true);
    cp_async_commit();
  }
  cp_async_wait<Pending>();
  __syncthreads();
  out[threadIdx.x] = tile[63 - threadIdx.x];
}
const Wrong early_wait{"a wait for one group too few", gives(wait_for_groups<1>, reversed),
                       gives(wait_for_groups<0>, reversed), 16, "of `tile` is read"};

// The copies that come after the last commit belong to no group that a wait covers.
template <bool Fixed>
__global__ void no_commit(const float* in, float* out) {
  INSTASEG_SHARED(float, tile, 64);
  if (threadIdx.x < 16) cp_async16(tile + threadIdx.x * 4, in + threadIdx.x * 4, true);
  if (Fixed) cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  out[threadIdx.x] = tile[63 - threadIdx.x];
}
// wait_group 0 waits for committed groups only.
const Wrong uncommitted{"a cp.async that is not committed", gives(no_commit<false>, reversed),
                        gives(no_commit<true>, reversed), 16, "of `tile` is read"};

// A wait covers the thread's own copies; others' need a barrier.
template <bool Fixed>
__global__ void others_copies(const float* in, float* out) {
  INSTASEG_SHARED(float, tile, 64);
  if (threadIdx.x < 16) cp_async16(tile + threadIdx.x * 4, in + threadIdx.x * 4, true);
  cp_async_commit();
  cp_async_wait<0>();
  if (Fixed) __syncthreads();
  out[threadIdx.x] = tile[63 - threadIdx.x];
}
const Wrong missing_barrier_after_wait{"a missing barrier after a wait", gives(others_copies<false>, reversed),
                                       gives(others_copies<true>, reversed), 16, "of `tile` is read"};

// A copy into a stage that others may still be reading.
template <bool Fixed>
__global__ void stage_in_use(const float* in, float* out) {
  INSTASEG_SHARED(float, tile, 64);
  for (unsigned round = 0; round < 2; ++round) {
    if (threadIdx.x < 16) cp_async16(tile + threadIdx.x * 4, in + round * 64 + threadIdx.x * 4, true);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    out[round * 64 + threadIdx.x] = tile[63 - threadIdx.x];
    if (Fixed) __syncthreads();
  }
}
const Wrong overwritten_stage{"a cp.async into memory that others still read",
                              gives(stage_in_use<false>, reversed, 128), gives(stage_in_use<true>, reversed, 128), 16,
                              "of `tile` is"};

// Reads before another block has written: blocks run in any order.
template <bool Fixed>
__global__ void other_block(const float* in, float* out) {
  if (Fixed) {
    out[blockIdx.x] = in[1 - blockIdx.x];
  } else {
    out[2 + blockIdx.x] = in[blockIdx.x];
    out[blockIdx.x] = out[3 - blockIdx.x];
  }
}
std::function<bool()> exchanged(Kernel kernel) {
  return [kernel] {
    const DeviceArray<float> input(std::vector<float>{5, 6});
    const DeviceArray<float> output(4, NAN);
    launch(kStream, {.grid = 2, .block = 1}, kernel, input.data(), output.data());
    const auto values = output.values();
    return values[0] == 6 && values[1] == 5;
  };
}
const Wrong dependent_blocks{"a block that needs another", exchanged(other_block<false>), exchanged(other_block<true>),
                             16, ""};

// What the result does not show
// ------------------------------------------------------------------------------------------

std::function<void()> runs(Kernel kernel) {
  return [kernel] {
    const DeviceArray<float> input(128, 1.0f);
    const DeviceArray<float> output(128);
    launch(kStream, {.grid = 1, .block = 64}, kernel, input.data(), output.data());
  };
}

// A shuffle waits for the lanes, but does not order their memory.
__global__ void shuffle_as_fence(const float* in, float* out) {
  INSTASEG_SHARED(float, tile, 64);
  tile[threadIdx.x] = in[threadIdx.x];
  const float sum = __shfl_xor_sync(0xffffffffu, in[threadIdx.x], 1);
  out[threadIdx.x] = sum + tile[threadIdx.x ^ 1];
}
const Hidden no_fence{"a shuffle taken for a fence", runs(shuffle_as_fence),
                      "of `tile` is read without a barrier after a write"};

__global__ void same_value(const float* in, float* out) {
  INSTASEG_SHARED(float, flag, 1);
  flag[0] = 1;
  __syncthreads();
  out[threadIdx.x] = flag[0] * in[threadIdx.x];
}
const Hidden all_write{"all threads write the same value", runs(same_value),
                       "of `flag` is written without a barrier after a write"};

__global__ void plain_and_atomic(const float*, float* out) {
  INSTASEG_SHARED(int, counter, 1);
  if (threadIdx.x == 0) counter[0] = 0;
  __syncthreads();
  atomicAdd(counter, 0);
  out[threadIdx.x] = static_cast<float>(counter[0]);
}
const Hidden unordered_atomic{"a plain read beside atomics", runs(plain_and_atomic), "of `counter` is"};

__global__ void cleared_by_nobody(const float*, float* out) {
  INSTASEG_SHARED(int, counter, 1);
  atomicAdd(counter, 1);
  __syncthreads();
  out[threadIdx.x] = 0.0f * static_cast<float>(counter[0]);
}
const Hidden uncleared{"an atomic on what nothing has written", runs(cleared_by_nobody), "but nothing has written it"};

// The thread's own copy, read before the wait.
__global__ void own_copy(const float* in, float* out) {
  INSTASEG_SHARED(float, tile, 256);
  cp_async16(tile + threadIdx.x * 4, in, true);
  cp_async_commit();
  out[threadIdx.x] = tile[threadIdx.x * 4] * 0;
  cp_async_wait<0>();
}
const Hidden in_flight{"a read of a cp.async under way", runs(own_copy), "is read while a cp.async fills it"};

__global__ void over_copy(const float* in, float* out) {
  INSTASEG_SHARED(float, tile, 256);
  cp_async16(tile + threadIdx.x * 4, in, true);
  tile[threadIdx.x * 4 + 1] = 1;
  cp_async_commit();
  cp_async_wait<0>();
  out[threadIdx.x] = 0;
}
const Hidden over_flight{"a write into a cp.async under way", runs(over_copy), "is written while a cp.async fills it"};

}  // namespace
}  // namespace instaseg::cuda::selftest
