// Tests of what kernels are written in: barriers, shuffles, shared memory, cp.async, tensor-core fragments, number
// formats. device_*.cu hold for a GPU as for the emulator, and are built for both: what passes on both shows that
// the emulator is like the hardware. The other files are about the emulator alone.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cuda/error.h"
#include "cuda/launch.h"

namespace instaseg::cuda::selftest {

struct Test {
  std::string name;
  std::function<void()> run;
};

/// Of the whole program; filled before main.
std::vector<Test>& tests();

struct Registration {
  Registration(const std::string& name, std::function<void()> run) { tests().push_back({name, std::move(run)}); }
};

/// Ends the running test with this message unless the condition holds.
void expect(bool condition, const std::string& message);

/// An array on the device.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : size_(values.size()) {
    check(cudaMalloc(reinterpret_cast<void**>(&data_), bytes()), "cudaMalloc");
    check(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  explicit DeviceArray(size_t size, T value = {}) : DeviceArray(std::vector<T>(size, value)) {}
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  std::vector<T> values() const {
    std::vector<T> host(size_);
    check(cudaMemcpy(host.data(), data_, bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return host;
  }

 private:
  size_t bytes() const { return size_ * sizeof(T); }

  size_t size_;
  T* data_ = nullptr;
};

/// Expects equal arrays; NaN equals nothing.
template <class T>
void expect_equal(const std::vector<T>& actual, const std::vector<T>& expected, const std::string& what) {
  expect(actual.size() == expected.size(), what + ": size");
  for (size_t i = 0; i < actual.size(); ++i) {
    expect(actual[i] == expected[i], what + ": element " + std::to_string(i) + " is " + std::to_string(actual[i]) +
                                         ", expected " + std::to_string(expected[i]));
  }
}

/// Small integers in [low, high], a function of the seed.
std::vector<int> integers(unsigned seed, size_t count, int low, int high);

/// A launch on the default stream.
inline constexpr cudaStream_t kStream = nullptr;

}  // namespace instaseg::cuda::selftest
