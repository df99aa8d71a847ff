// Names of kernels for messages.
#pragma once

#include <string>

namespace instaseg::cuda::emulation {

/// The demangled name of a function of this program, read from the symbol table of the file it was loaded from, without
/// namespaces of ours and arguments; "kernel" where the file has been stripped.
std::string function_name(const void* function);

}  // namespace instaseg::cuda::emulation
