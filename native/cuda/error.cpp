#include "cuda/error.h"

#include "runtime/error.h"

namespace instaseg::cuda {

bool sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
      return true;
    default:
      return false;
  }
}

void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  // The error that is not sticky must not come up again in somebody else's call.
  cudaGetLastError();
  const char* name = cudaGetErrorName(result);
  const char* text = cudaGetErrorString(result);
  if (sticky(result)) {
    fail(ErrorCode::cuda_fatal, "the GPU reported ", name, " (", text, ") in ", what,
         ". The device cannot be used any more in this process; restart it");
  }
  switch (result) {
    case cudaErrorMemoryAllocation:
      fail(ErrorCode::gpu_out_of_memory, "the GPU has no memory left (", what, ")");
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorNoKernelImageForDevice:
      fail(ErrorCode::device_unavailable, name, " (", text, ") in ", what);
    default:
      fail(ErrorCode::internal, name, " (", text, ") in ", what);
  }
}

}  // namespace instaseg::cuda
