// Launches a kernel on the call's stream: the only way kernels are launched, in real and emulated builds.
//
//   launch(context, {.grid = blocks_for(count, 256), .block = 256}, relu_kernel<T>, input, output, count);
//
// Nothing is launched where a dimension of the grid is 0. Arguments are copied: pointers to device memory and trivially
// copyable values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <source_location>
#include <tuple>
#include <type_traits>

#include "cuda/error.h"
#include "cuda/platform.h"
#include "cuda/runtime_api.h"
#include "runtime/registry.h"

namespace instaseg::cuda {

struct LaunchConfig {
  dim3 grid;
  dim3 block;
  /// Dynamic shared memory.
  size_t shared_bytes = 0;
#ifdef INSTASEG_CUDA_EMULATED
  std::source_location where = std::source_location::current();
#endif
};

/// Blocks of `block` threads for `count` elements, at most `limit`: for kernels that stride over the rest.
inline unsigned blocks_for(int64_t count, int64_t block, int64_t limit = 1 << 20) {
  return static_cast<unsigned>(std::min((count + block - 1) / block, limit));
}

/// Throws as check() does where CUDA refuses the launch.
template <class... Parameters, class... Arguments>
void launch(cudaStream_t stream, const LaunchConfig& config, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "kernel arguments are copied byte by byte");
  if (config.grid.x == 0 || config.grid.y == 0 || config.grid.z == 0) return;
  cudaError_t error = cudaSuccess;
  if (config.shared_bytes > 48 * 1024) {
    error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(config.shared_bytes));
  }
#ifdef INSTASEG_CUDA_EMULATED
  if (error == cudaSuccess) {
    struct Call {
      void (*kernel)(Parameters...);
      std::tuple<Parameters...> parameters;
    };
    const auto call = std::make_shared<const Call>(Call{kernel, {static_cast<Parameters>(arguments)...}});
    const auto invoke = [](const void* bound) {
      const Call& one = *static_cast<const Call*>(bound);
      std::apply(one.kernel, one.parameters);
    };
    error = emulation::launch_grid(stream,
                                   {.grid = config.grid,
                                    .block = config.block,
                                    .shared_bytes = config.shared_bytes,
                                    .invoke = invoke,
                                    .arguments = call.get(),
                                    .kernel = reinterpret_cast<const void*>(kernel),
                                    .file = config.where.file_name(),
                                    .line = static_cast<int>(config.where.line())},
                                   call);
  }
#else
  if (error == cudaSuccess) {
    std::tuple<Parameters...> parameters{static_cast<Parameters>(arguments)...};
    std::apply(
        [&](auto&... parameter) {
          // One more element, since an array of none does not exist.
          void* pointers[] = {static_cast<void*>(&parameter)..., nullptr};
          error = cudaLaunchKernel(reinterpret_cast<const void*>(kernel), config.grid, config.block, pointers,
                                   config.shared_bytes, stream);
        },
        parameters);
  }
#endif
  check(error, "launching a kernel");
}

template <class... Parameters, class... Arguments>
void launch(const KernelContext& context, const LaunchConfig& config, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  launch(static_cast<cudaStream_t>(context.backend->stream()), config, kernel, arguments...);
}

}  // namespace instaseg::cuda
