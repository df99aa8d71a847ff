#include "runtime/error.h"

namespace instaseg {

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::argument:
      return "ERR_ARGUMENT";
    case ErrorCode::shape:
      return "ERR_SHAPE";
    case ErrorCode::dtype:
      return "ERR_DTYPE";
    case ErrorCode::unsupported:
      return "ERR_UNSUPPORTED";
    case ErrorCode::device_unavailable:
      return "ERR_DEVICE_UNAVAILABLE";
    case ErrorCode::out_of_memory:
      return "ERR_OUT_OF_MEMORY";
    case ErrorCode::gpu_out_of_memory:
      return "ERR_GPU_OOM";
    case ErrorCode::cuda_fatal:
      return "ERR_CUDA_FATAL";
    case ErrorCode::overloaded:
      return "ERR_OVERLOADED";
    case ErrorCode::aborted:
      return "ERR_ABORTED";
    case ErrorCode::disposed:
      return "ERR_DISPOSED";
    case ErrorCode::image:
      return "ERR_IMAGE";
    case ErrorCode::internal:
      break;
  }
  return "ERR_INTERNAL";
}

}  // namespace instaseg
