#include "cuda/emulation/selftest/selftest.h"

#include <stdexcept>

namespace instaseg::cuda::selftest {

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

void expect(bool condition, const std::string& message) {
  if (!condition) throw std::runtime_error(message);
}

std::vector<int> integers(unsigned seed, size_t count, int low, int high) {
  std::vector<int> numbers;
  numbers.reserve(count);
  uint32_t state = seed * 2654435761u + 12345u;
  for (size_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    numbers.push_back(low + static_cast<int>((state >> 8) % static_cast<uint32_t>(high - low + 1)));
  }
  return numbers;
}

}  // namespace instaseg::cuda::selftest
