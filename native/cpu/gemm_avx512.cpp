// The matrix product under convolution and linear, for AVX-512: tiles of 12 rows and 32 columns.
#include "cpu/gemm.h"

#ifdef INSTASEG_X86
#include <algorithm>
#include <iterator>
#include <span>

#include "cpu/gemm_activation.h"
#include "cpu/gemm_units.h"
#include "cpu/lanes.h"

namespace instaseg::cpu {
namespace {

using Lanes = Avx512;
#define INSTASEG_LEVEL INSTASEG_AVX512
#include "cpu/gemm_x86.h"
#undef INSTASEG_LEVEL

}  // namespace

const GemmKernels kGemmAvx512{2 * Avx512::kCount, Avx512::kTileRows, panel, depthwise, activate};

}  // namespace instaseg::cpu
#endif
