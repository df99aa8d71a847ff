// Which GPUs the kernels of this build run on.
#pragma once

#include <string>

namespace instaseg::cuda {

/// INSTASEG_CUDA_ARCHITECTURES as compiled, for example "75-real 80-real 90a-real 90-virtual".
const char* compiled_architectures();
/// The same for people: "7.5, 8.0, 9.0a, PTX of 9.0".
std::string describe_architectures(const std::string& architectures);

/// Whether this build has code for a GPU of compute capability 10 * major + minor: machine code of the same major
/// version and no higher minor one (code of an "a" architecture runs on exactly its own), or PTX of a lower or equal
/// capability.
bool architecture_supported(int compute_capability);
/// The same, of a list.
bool architecture_supported(const std::string& architectures, int compute_capability);

}  // namespace instaseg::cuda
