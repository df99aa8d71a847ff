// Results of CUDA calls as typed errors.
#pragma once

#include "cuda/runtime_api.h"

namespace instaseg::cuda {

/// Throws unless `result` is cudaSuccess: ERR_GPU_OOM, ERR_CUDA_FATAL where the error is sticky (every later call in
/// the process fails too), ERR_DEVICE_UNAVAILABLE where driver or device are not usable, ERR_INTERNAL otherwise.
/// `what` names the call.
void check(cudaError_t result, const char* what);

/// Whether the context is lost with this error.
bool sticky(cudaError_t error);

}  // namespace instaseg::cuda
