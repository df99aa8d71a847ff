// The matrix product under convolution and linear, for AVX2 with FMA: tiles of 6 rows and 16 columns.
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

using Lanes = Avx2;
#define INSTASEG_LEVEL INSTASEG_AVX2
#include "cpu/gemm_x86.h"
#undef INSTASEG_LEVEL

}  // namespace

const GemmKernels kGemmAvx2{2 * Avx2::kCount, Avx2::kTileRows, panel, depthwise, activate};

}  // namespace instaseg::cpu
#endif
