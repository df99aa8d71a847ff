// Barriers and collectives that not all threads reach, addresses that the hardware refuses.
#include "cuda/emulation/selftest/planted.h"
#include "cuda/mma.h"

namespace instaseg::cuda::selftest {
namespace {

/// One block of `threads`, with an array to write to.
template <class T>
auto block(void (*kernel)(T*), unsigned threads = 32) {
  return [kernel, threads] {
    const DeviceArray<T> out(64);
    launch(kStream, {.grid = dim3(2, 2), .block = threads}, kernel, out.data());
  };
}

__global__ void barrier_after_end(int*) {
  if (threadIdx.x >= 40) return;
  __syncthreads();
}
const Refused barrier_after_end_test{
    "a barrier after threads have ended",
    block(barrier_after_end, 64),
    {"kernel selftest::barrier_after_end (launched at native/cuda/emulation/selftest/planted", "block (", "thread (",
     "threads 0 to 39 at __syncthreads in native/cuda/", "planted_divergence.cu:", "threads 40 to 63 ended"}};

__global__ void barrier_in_branch(int* out) {
  if (threadIdx.x < 33) {
    __syncthreads();
  } else {
    out[threadIdx.x] = __shfl_sync(0xffffffffu, 1, 0);
  }
}
const Refused barrier_in_branch_test{
    "a barrier in one branch, a shuffle in the other",
    block(barrier_in_branch, 64),
    {"threads 0 to 32 at __syncthreads in", "threads 33 to 63 at __shfl_sync with mask 0xffffffff in"}};

__global__ void two_barriers(int*) {
  if (threadIdx.x % 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
const Refused two_barriers_test{
    "two barriers in two branches", block(two_barriers), {"meet at different barriers", "thread 1 at __syncthreads"}};

__global__ void two_kinds(int* out) { out[threadIdx.x] = threadIdx.x % 2 ? __syncthreads_or(1) : __syncthreads_and(1); }
const Refused two_kinds_test{"two kinds of barrier", block(two_kinds), {"__syncthreads_or", "__syncthreads_and"}};

__global__ void shuffle_in_branch(int* out) {
  if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x), 0);
  __syncthreads();
}
const Refused shuffle_in_branch_test{
    "a shuffle in a branch",
    block(shuffle_in_branch),
    {"threads 0 to 15 at __shfl_sync with mask 0xffffffff", "threads 16 to 31 at __syncthreads"}};

__global__ void shuffle_after_end(int* out) {
  if (threadIdx.x == 5) return;
  __syncwarp(0xffffffdfu);
  out[threadIdx.x] = __shfl_sync(0xffffffffu, 1, 0);
}
const Refused shuffle_after_end_test{"a mask with a lane that has ended", block(shuffle_after_end), {"__shfl_sync"}};

__global__ void mask_without_caller(int* out) { out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 0); }
const Refused mask_without_caller_test{
    "a mask without the caller", block(mask_without_caller), {"leaves out the lane that calls"}};

__global__ void mask_beyond_block(int* out) { out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 1); }
const Refused mask_beyond_block_test{"a mask with lanes that the block does not have",
                                     block(mask_beyond_block, 40),
                                     {"kernel selftest::mask_beyond_block (launched", "does not have (0xffffff00)"}};

__global__ void source_outside_mask(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 20);
}
const Refused source_outside_mask_test{
    "a source lane outside the mask", block(source_outside_mask), {"reads from lane 20"}};

__global__ void odd_width(int* out) { out[threadIdx.x] = __shfl_down_sync(0xffffffffu, 1, 1, 12); }
const Refused odd_width_test{"a width of 12", block(odd_width), {"width 12 is not a power of two"}};

__global__ void different_collectives(int* out) {
  out[threadIdx.x] = threadIdx.x == 3 ? __any_sync(0xffffffffu, 1) : __shfl_sync(0xffffffffu, 1, 0);
}
const Refused different_collectives_test{"different collectives under one mask",
                                         block(different_collectives),
                                         {"call different collectives", "lane 3 __ballot_sync", "__shfl_sync in"}};

__global__ void mismatched_masks(int* out) {
  out[threadIdx.x] = __shfl_down_sync(threadIdx.x < 4 ? 0xffffffffu : 0xfffffff0u, 1, 1);
}
const Refused mismatched_masks_test{"masks that do not agree", block(mismatched_masks), {"mask 0xffffffff"}};

__global__ void mma_in_branch(int* out) {
  float d[4] = {};
  const uint32_t a[4] = {}, b[2] = {};
  if (threadIdx.x != 31) mma_m16n8k16(d, a, b, bf16{});
  out[threadIdx.x] = static_cast<int>(d[0]);
}
const Refused mma_in_branch_test{
    "an mma that one lane misses", block(mma_in_branch), {"mma.m16n8k16 (bf16)", "mask 0xffffffff"}};

__global__ void unaligned_vector(float* out) { store_vec(out + 1, Vec<float, 4>{}); }
const Refused unaligned_vector_test{"an unaligned vector", block(unaligned_vector), {"16 bytes at", "not aligned"}};

__global__ void unaligned_async(float* out) {
  INSTASEG_SHARED(float, tile, 64);
  cp_async16(tile + 4, out + 1, true);
}
const Refused unaligned_async_test{"an unaligned cp.async", block(unaligned_async), {"cp.async in", "aligned to 16"}};

__global__ void async_to_global(float* out) { cp_async16(out, out + 16, true); }
const Refused async_to_global_test{
    "a cp.async to global memory", block(async_to_global), {"cp.async's target", "outside shared memory"}};

__global__ void unaligned_ldmatrix(int* out) {
  INSTASEG_SHARED(uint16_t, tile, 512);
  uint32_t r[4];
  ldmatrix_x4(r, tile + threadIdx.x * 9);
  out[threadIdx.x] = static_cast<int>(r[0]);
}
const Refused unaligned_ldmatrix_test{"an unaligned ldmatrix", block(unaligned_ldmatrix), {"ldmatrix.x4"}};

__global__ void no_dynamic_memory(float*) {
  INSTASEG_DYNAMIC_SHARED(float, buffer);
  buffer[threadIdx.x] = 0;
}
const Refused no_dynamic_memory_test{
    "dynamic shared memory that the launch does not give", block(no_dynamic_memory), {"the launch gives it none"}};

__global__ void static_memory_too_large(float*) {
  INSTASEG_SHARED(float, buffer, 13000);
  buffer[threadIdx.x] = 0;
}
const Refused static_memory_too_large_test{
    "more than 48 KiB of static shared memory", block(static_memory_too_large), {"52096 bytes with `buffer`"}};

__global__ void untouched(int*) {}
const Refused block_too_large{"a block of 1025 threads", block(untouched, 1025), {"cudaErrorInvalidConfiguration"}};
const Refused shared_too_large{
    "more shared memory than a block can have",
    [] { launch(kStream, {.grid = 1, .block = 32, .shared_bytes = 240000}, untouched, static_cast<int*>(nullptr)); },
    {"cudaErrorInvalidValue"}};

}  // namespace
}  // namespace instaseg::cuda::selftest
