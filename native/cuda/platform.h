// What device code is written in: CUDA's own keywords and functions under nvcc, the emulator's (native/cuda/emulation)
// where INSTASEG_CUDA_EMULATED is defined and the host compiler reads the same files.
//
//   __global__ __device__ __host__ __forceinline__ __launch_bounds__(...)
//   threadIdx blockIdx blockDim gridDim dim3
//   __syncthreads, __syncthreads_or/and/count, __syncwarp
//   __shfl_sync and its up, down and xor forms (32- and 64-bit arithmetic types), __ballot_sync, __any_sync, __all_sync
//   atomicAdd/Max/Min/Or/And/Exch/CAS on int, unsigned and unsigned long long; never on floats, whose sums would depend
//   on the order of arrival
//   __popc __popcll __ffs __clz __brev __ldg __float_as_int and the like, __fmaf_rn, __threadfence
//
// Shared memory goes through two macros, since `extern __shared__` has no equivalent on a host:
//
//   INSTASEG_SHARED(float, tile, 32 * 33);      // float* tile: static, 128-byte aligned, uninitialised
//   INSTASEG_DYNAMIC_SHARED(float, buffer);     // float* buffer: the launch's dynamic bytes, 128-byte aligned
//
// T is trivially copyable and may depend on template parameters; a type with a comma needs an alias. Two macros of the
// first kind never share memory; all of the second kind name the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef INSTASEG_CUDA_EMULATED

#include "cuda/emulation/device_api.h"

#define INSTASEG_SHARED(T, name, count)     \
  static const char name##_declaration = 0; \
  T* const name = ::instaseg::cuda::emulation::shared_array<T>(&name##_declaration, #name, (count))
#define INSTASEG_DYNAMIC_SHARED(T, name) T* const name = ::instaseg::cuda::emulation::dynamic_shared_array<T>()

#else

#include <cuda_runtime.h>

#define INSTASEG_SHARED(T, name, count)                                      \
  __shared__ __align__(128) unsigned char name##_bytes[sizeof(T) * (count)]; \
  T* const name = reinterpret_cast<T*>(name##_bytes)
#define INSTASEG_DYNAMIC_SHARED(T, name)                                    \
  extern __shared__ __align__(128) unsigned char instaseg_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(instaseg_dynamic_shared)

#endif
