// The emulated runtime API: memory, faults, streams, graphs; and the scheduler's promises.
#include <cmath>
#include <set>

#include "cuda/emulation/selftest/selftest.h"

namespace instaseg::cuda::selftest {
namespace {

__global__ void add_kernel(const float* in, float* out, int count, float summand) {
  const auto i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) out[i] = in[i] + summand;
}

void add(cudaStream_t stream, const float* in, float* out, int count, float summand) {
  launch(stream, {.grid = blocks_for(count, 32), .block = 32}, add_kernel, in, out, count, summand);
}

void expect_result(cudaError_t actual, cudaError_t expected, const std::string& what) {
  expect(actual == expected,
         what + " returned " + cudaGetErrorName(actual) + ", expected " + cudaGetErrorName(expected));
}

/// Faults for one test.
struct Faults {
  explicit Faults(const emulation::FaultInjection& faults) { emulation::set_fault_injection(faults); }
  ~Faults() {
    emulation::set_fault_injection({});
    cudaGetLastError();
  }
};

const Registration fresh_memory{"fresh device memory is NaN", [] {
                                  float* memory = nullptr;
                                  check(cudaMalloc(reinterpret_cast<void**>(&memory), 20), "cudaMalloc");
                                  std::vector<float> values(5);
                                  check(cudaMemcpy(values.data(), memory, 20, cudaMemcpyDeviceToHost), "cudaMemcpy");
                                  check(cudaFree(memory), "cudaFree");
                                  for (const float value : values) expect(std::isnan(value), "not NaN");
                                }};

const Registration capacity{"memory is limited and freed memory is available again", [] {
                              const Faults faults({.memory = 1000});
                              size_t free = 0, total = 0;
                              void* first = nullptr;
                              void* second = nullptr;
                              expect_result(cudaMalloc(&first, 600), cudaSuccess, "the first allocation");
                              check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
                              expect(total == 1000 && free == 400, "free bytes after the first allocation");
                              expect_result(cudaMallocAsync(&second, 401, kStream), cudaErrorMemoryAllocation,
                                            "the second allocation");
                              expect(second == nullptr, "a failed allocation gives a null pointer");
                              expect_result(cudaGetLastError(), cudaErrorMemoryAllocation, "cudaGetLastError");
                              expect_result(cudaGetLastError(), cudaSuccess, "cudaGetLastError, again");
                              expect_result(cudaFree(first), cudaSuccess, "cudaFree");
                              expect_result(cudaFree(first), cudaErrorInvalidValue, "cudaFree, again");
                              expect_result(cudaMallocAsync(&second, 1000, kStream), cudaSuccess, "all memory");
                              expect_result(cudaFreeAsync(second, kStream), cudaSuccess, "cudaFreeAsync");
                              expect_result(cudaFree(nullptr), cudaSuccess, "cudaFree of null");
                            }};

const Registration failing_allocation{
    "the nth allocation fails, and no other", [] {
      const Faults faults({.fail_allocation = 2});
      for (int i = 1; i <= 3; ++i) {
        void* memory = nullptr;
        expect_result(cudaMalloc(&memory, 8), i == 2 ? cudaErrorMemoryAllocation : cudaSuccess, std::to_string(i));
        cudaFree(memory);
      }
    }};

const Registration sticky_fault{
    "a fault at the nth launch stays", [] {
      const DeviceArray<float> numbers(4, 1.0f);
      const Faults faults({.fail_launch = 2});
      add(kStream, numbers.data(), numbers.data(), 4, 1);
      std::string message;
      try {
        add(kStream, numbers.data(), numbers.data(), 4, 1);
      } catch (const Error& error) {
        expect(error.code() == ErrorCode::cuda_fatal, "the code of the error");
        message = error.what();
      }
      expect(message.find("cudaErrorIllegalAddress") != std::string::npos, "the launch's error: " + message);
      void* memory = nullptr;
      expect_result(cudaMalloc(&memory, 8), cudaErrorIllegalAddress, "cudaMalloc");
      expect_result(cudaStreamSynchronize(kStream), cudaErrorIllegalAddress, "cudaStreamSynchronize");
      expect_result(cudaGetLastError(), cudaErrorIllegalAddress, "cudaGetLastError");
      expect_result(cudaGetLastError(), cudaErrorIllegalAddress, "cudaGetLastError, again");
      int count = 0;
      expect_result(cudaGetDeviceCount(&count), cudaErrorIllegalAddress, "cudaGetDeviceCount");
    }};

const Registration graphs{
    "a captured stream records, a graph replays", [] {
      const DeviceArray<float> input({1, 2, 3, 4});
      const DeviceArray<float> middle(4);
      const DeviceArray<float> output(4);
      cudaStream_t stream = nullptr;
      check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
      check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
      check(cudaMemsetAsync(output.data(), 0, 16, stream), "cudaMemsetAsync");
      add(stream, input.data(), middle.data(), 4, 10);
      check(cudaMemcpyAsync(output.data(), middle.data(), 8, cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
      void* memory = nullptr;
      cudaGraph_t graph = nullptr;
      check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
      cudaGraphExec_t exec = nullptr;
      check(cudaGraphInstantiate(&exec, graph), "cudaGraphInstantiate");
      check(cudaGraphDestroy(graph), "cudaGraphDestroy");
      expect_equal(middle.values(), {0, 0, 0, 0}, "before the graph runs");
      for (int i = 0; i < 2; ++i) {
        check(cudaMemset(middle.data(), 0, 16), "cudaMemset");
        check(cudaGraphLaunch(exec, stream), "cudaGraphLaunch");
        check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
        expect_equal(output.values(), {11, 12, 0, 0}, "after the graph has run");
      }
      check(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy");

      check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
      expect_result(cudaMalloc(&memory, 8), cudaErrorStreamCaptureUnsupported, "cudaMalloc while capturing");
      expect_result(cudaMemsetAsync(output.data(), 0, 16, stream), cudaErrorStreamCaptureInvalidated, "work after it");
      expect_result(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated, "the end of the capture");
      expect(graph == nullptr, "a spoilt capture gives no graph");
      expect_result(cudaStreamSynchronize(stream), cudaSuccess, "the stream is usable again");
      check(cudaStreamDestroy(stream), "cudaStreamDestroy");
      cudaGetLastError();
    }};

const Registration events{"events measure time", [] {
                            cudaEvent_t begin = nullptr, end = nullptr;
                            check(cudaEventCreate(&begin), "cudaEventCreate");
                            check(cudaEventCreate(&end), "cudaEventCreate");
                            check(cudaEventRecord(begin), "cudaEventRecord");
                            float milliseconds = -1;
                            expect_result(cudaEventElapsedTime(&milliseconds, begin, end),
                                          cudaErrorInvalidResourceHandle, "before the end");
                            cudaGetLastError();
                            check(cudaEventRecord(end), "cudaEventRecord");
                            check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
                            expect(milliseconds >= 0, "elapsed time");
                            check(cudaEventDestroy(begin), "cudaEventDestroy");
                            check(cudaEventDestroy(end), "cudaEventDestroy");
                          }};

// Schedules
// -------------------------------------------------------------------------------------------------------------------

// The order in which threads come by, before and after a barrier.
__global__ void order_kernel(int* order, int* next) {
  order[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  __syncthreads();
  order[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

std::vector<int> order_of_threads() {
  const DeviceArray<int> order(256);
  const DeviceArray<int> next(1);
  launch(kStream, {.grid = 2, .block = 64}, order_kernel, order.data(), next.data());
  return order.values();
}

const Registration schedules{
    "schedules follow the seed", [] {
      const uint64_t seed = emulation::schedule_seed();
      emulation::set_schedule_seed(5);
      const auto first = order_of_threads();
      const auto second = order_of_threads();
      emulation::set_schedule_seed(5);
      expect(order_of_threads() == first, "the same seed gives the same schedule");
      expect(first != second, "the next launch has a schedule of its own");
      emulation::set_schedule_seed(6);
      expect(order_of_threads() != first, "another seed gives another schedule");
      emulation::set_schedule_seed(seed);
      // Each block runs to its end; a barrier separates two permutations of its threads, which are not the same.
      for (size_t block = 0; block < 2; ++block) {
        const auto begin = first.begin() + static_cast<std::ptrdiff_t>(block * 128);
        const std::vector<int> before(begin, begin + 64), after(begin + 64, begin + 128);
        expect(std::set<int>(before.begin(), before.end()).size() == 64, "every thread before the barrier");
        expect(std::set<int>(after.begin(), after.end()).size() == 64, "every thread after the barrier");
        expect(before[0] / 64 == after[0] / 64 && before != after, "one block after the other, in new orders");
      }
    }};

}  // namespace
}  // namespace instaseg::cuda::selftest
