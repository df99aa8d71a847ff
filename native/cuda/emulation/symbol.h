// Names of kernels for messages.
#pragma once

#include <string>

namespace instaseg::cuda::emulation {

/// The demangled name of a function of this program, read from the symbol table of the file it was loaded from, without
/// namespaces of ours and arguments; "kernel" where the file has been stripped.
std::string function_name(const void* function);

/// Where a return address of this program lies in its sources: "file:line", of inlined functions the innermost one
/// outside the emulator. Asks addr2line; without it, the module and the offset.
std::string source_line(const void* code);

}  // namespace instaseg::cuda::emulation
