#include "cuda/architectures.h"

#include <sstream>

#ifndef INSTASEG_CUDA_ARCHITECTURES
#define INSTASEG_CUDA_ARCHITECTURES "90"
#endif

namespace instaseg::cuda {

const char* compiled_architectures() { return INSTASEG_CUDA_ARCHITECTURES; }

std::string describe_architectures(const std::string& architectures) {
  std::istringstream list(architectures);
  std::string result;
  std::string entry;
  while (list >> entry) {
    const std::string capability = entry.substr(0, entry.find('-'));
    const size_t minor = capability.find_first_not_of("0123456789");
    const size_t point = (minor == std::string::npos ? capability.size() : minor) - 1;
    if (!result.empty()) result += ", ";
    if (entry.ends_with("-virtual")) result += "PTX of ";
    result += capability.substr(0, point) + "." + capability.substr(point);
  }
  return result;
}

bool architecture_supported(int compute_capability) {
  return architecture_supported(compiled_architectures(), compute_capability);
}

// Entries as CMake writes them: "80" and "80-real" have machine code, "80" and "80-virtual" PTX, "90a" is exact.
bool architecture_supported(const std::string& architectures, int compute_capability) {
  std::istringstream list(architectures);
  std::string entry;
  while (list >> entry) {
    size_t digits = 0;
    const int architecture = std::stoi(entry, &digits);
    const std::string suffix = entry.substr(digits);
    const bool exact = !suffix.empty() && suffix[0] == 'a';
    const bool real = suffix.find("virtual") == std::string::npos;
    const bool ptx = suffix.find("real") == std::string::npos;
    if (architecture == compute_capability) return true;
    if (exact || architecture > compute_capability) continue;
    if (ptx || (real && architecture / 10 == compute_capability / 10)) return true;
  }
  return false;
}

}  // namespace instaseg::cuda
