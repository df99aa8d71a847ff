// Accesses beyond arrays and what C++ leaves undefined: AddressSanitizer and UndefinedBehaviorSanitizer end the
// process.
#include "cuda/emulation/selftest/planted.h"
#include "cuda/mma.h"

namespace instaseg::cuda::selftest {
namespace {

template <class T, int Width>
struct alignas(128) Tile {
  T rows[4][Width];
};

// A tile as the matrix kernels have it: the type depends on the template's parameters, the bug is one row too many.
template <class T, int Width>
__global__ void tile_row(T* out, int row) {
  using Shared = Tile<T, Width>;
  INSTASEG_SHARED(Shared, tile, 1);
  INSTASEG_SHARED(T, other, 32);
  other[threadIdx.x] = out[threadIdx.x];
  T* const rows = &tile->rows[0][0];
  rows[row * Width + static_cast<int>(threadIdx.x)] = other[threadIdx.x];
}
const FatalRegistration tile_write{"a write past a templated tile in shared memory",
                                   [] {
                                     const DeviceArray<float> out(32);
                                     launch(kStream, {.grid = 1, .block = 32}, tile_row<float, 32>, out.data(), 4);
                                   },
                                   {"AddressSanitizer: use-after-poison", "WRITE of size 4", "tile_row"}};

template <class T>
__global__ void shared_at(T* out, int index) {
  INSTASEG_SHARED(T, tile, 37);
  tile[threadIdx.x] = T{};
  if (threadIdx.x == 7) out[0] = tile[index];
}
template <class T>
std::function<void()> shared_index(int index) {
  return [index] {
    const DeviceArray<T> out(32);
    launch(kStream, {.grid = 1, .block = 32}, shared_at<T>, out.data(), index);
  };
}
const FatalRegistration shared_end{"a read one element past shared memory",
                                   shared_index<float>(37),
                                   {"use-after-poison", "READ of size 4", "shared_at"}};
const FatalRegistration shared_end_bytes{"a read one byte past shared memory",
                                         shared_index<uint8_t>(37),
                                         {"use-after-poison", "READ of size 1", "shared_at"}};
const FatalRegistration shared_begin{
    "a read before shared memory", shared_index<double>(-1), {"use-after-poison", "READ of size 8", "shared_at"}};

__global__ void dynamic_at(float* out, int index) {
  INSTASEG_DYNAMIC_SHARED(float, buffer);
  if (threadIdx.x == 3) buffer[index] = out[0];
}
const FatalRegistration dynamic_end{"a write past dynamic shared memory",
                                    [] {
                                      const DeviceArray<float> out(32);
                                      launch(kStream, {.grid = 1, .block = 32, .shared_bytes = 400}, dynamic_at,
                                             out.data(), 100);
                                    },
                                    {"use-after-poison", "WRITE of size 4", "dynamic_at"}};

__global__ void global_at(float* out, int64_t index) {
  if (threadIdx.x == 9) out[index] = 1;
}
std::function<void()> global_index(int64_t index) {
  return [index] {
    const DeviceArray<float> out(33);
    launch(kStream, {.grid = 1, .block = 32}, global_at, out.data(), index);
  };
}
const FatalRegistration global_end{
    "a write past global memory", global_index(33), {"heap-buffer-overflow", "WRITE of size 4", "global_at"}};
const FatalRegistration global_begin{
    "a write before global memory", global_index(-1), {"heap-buffer-overflow", "WRITE of size 4", "global_at"}};
const FatalRegistration global_freed{"a write to freed memory",
                                     [] {
                                       float* memory = nullptr;
                                       check(cudaMalloc(reinterpret_cast<void**>(&memory), 256), "cudaMalloc");
                                       cudaFree(memory);
                                       launch(kStream, {.grid = 1, .block = 32}, global_at, memory, int64_t{0});
                                     },
                                     {"heap-use-after-free", "WRITE of size 4", "global_at"}};

__global__ void async_from(const float* in, int index) {
  INSTASEG_SHARED(float, tile, 128);
  cp_async16(tile + threadIdx.x * 4, in + index, threadIdx.x == 0);
  cp_async_commit();
}
const FatalRegistration async_end{"a cp.async from past global memory",
                                  [] {
                                    const DeviceArray<float> in(34);
                                    launch(kStream, {.grid = 1, .block = 32}, async_from, in.data(), 32);
                                  },
                                  {"heap-buffer-overflow", "READ of size 8", "async_from"}};

// Larger than a fiber's stack.
__global__ void deep(float* out, int depth) {
  volatile char frame[400 * 1024];
  frame[depth] = 1;
  out[threadIdx.x] = frame[depth];
}
const FatalRegistration stack{"a frame larger than the stack of a thread",
                              [] {
                                const DeviceArray<float> out(32);
                                launch(kStream, {.grid = 1, .block = 32}, deep, out.data(), 5);
                              },
                              {"AddressSanitizer", "deep"}};

__global__ void shift_by(int* out, int bits) { out[threadIdx.x] = 1 << bits; }
const FatalRegistration shift{"a shift by 33 bits",
                              [] {
                                const DeviceArray<int> out(32);
                                launch(kStream, {.grid = 1, .block = 32}, shift_by, out.data(), 33);
                              },
                              {"runtime error: shift exponent 33", "shift_by"}};

__global__ void narrow_index(int64_t* out, int rows) { out[threadIdx.x] = rows * rows; }
const FatalRegistration index{"an index that overflows 32 bits",
                              [] {
                                const DeviceArray<int64_t> out(32);
                                launch(kStream, {.grid = 1, .block = 32}, narrow_index, out.data(), 50000);
                              },
                              {"runtime error: signed integer overflow", "narrow_index"}};

}  // namespace
}  // namespace instaseg::cuda::selftest
