// The CUDA runtime's host API: NVIDIA's (linked statically), or the emulator's subset of it under the same names.
#pragma once

#ifdef INSTASEG_CUDA_EMULATED
#include "cuda/emulation/runtime_api.h"
#else
#include <cuda_runtime_api.h>
#endif
