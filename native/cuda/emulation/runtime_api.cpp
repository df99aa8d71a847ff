#include "cuda/emulation/runtime_api.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace emulation = instaseg::cuda::emulation;

namespace {

constexpr int kMaxDevices = 16;
constexpr size_t kGlobalAlignment = 256;

uint64_t environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct Allocation {
  size_t bytes;
  int device;
};

/// How many were made, and how many of them are still there.
struct Handles {
  int64_t made = 0;
  int64_t left = 0;
};

/// What all devices of the process share.
struct Machine {
  std::mutex mutex;
  const int devices = static_cast<int>(environment("INSTASEG_EMULATION_DEVICES", 1));
  const int driver = static_cast<int>(environment("INSTASEG_EMULATION_DRIVER", CUDART_VERSION));
  const int compute_capability = static_cast<int>(environment("INSTASEG_EMULATION_COMPUTE_CAPABILITY", 90));
  emulation::FaultInjection faults{environment("INSTASEG_EMULATION_FAIL_ALLOCATION", 0),
                                   environment("INSTASEG_EMULATION_FAIL_LAUNCH", 0),
                                   environment("INSTASEG_EMULATION_MEMORY", uint64_t{4} << 30)};
  uint64_t allocations = 0;
  uint64_t launches = 0;
  cudaError_t sticky = cudaSuccess;
  std::map<void*, Allocation> device_memory;
  size_t used[kMaxDevices] = {};
  /// Devices that would have got a context.
  bool touched[kMaxDevices] = {};
  Handles streams;
  Handles events;
  Handles graphs;
  Handles pinned;
  std::unordered_map<const void*, size_t> dynamic_shared_limits;
};

Machine& machine();

/// One line of JSON: what the process has not given back, and the devices that it has touched.
void print_summary() {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  std::string touched;
  for (int device = 0; device < kMaxDevices; ++device) {
    if (!m.touched[device]) continue;
    if (!touched.empty()) touched += ',';
    touched += std::to_string(device);
  }
  const auto print = [](const char* what, const Handles& handles) {
    std::fprintf(stderr, "\"%s\":{\"made\":%lld,\"left\":%lld},", what, static_cast<long long>(handles.made),
                 static_cast<long long>(handles.left));
  };
  std::fputs("{", stderr);
  print("allocations", {static_cast<int64_t>(m.allocations), static_cast<int64_t>(m.device_memory.size())});
  print("pinned", m.pinned);
  print("streams", m.streams);
  print("events", m.events);
  print("graphs", m.graphs);
  std::fprintf(stderr, "\"touched\":[%s]}\n", touched.c_str());
}

// Never destroyed: threads of others may still free memory while the process exits.
Machine& machine() {
  static Machine* instance = [] {
    if (environment("INSTASEG_EMULATION_SUMMARY", 0)) std::atexit(print_summary);
    return new Machine;
  }();
  return *instance;
}

struct ThreadState {
  int device = 0;
  cudaError_t last = cudaSuccess;
  /// The stream that this thread captures in thread-local or global mode.
  cudaStream_t capturing = nullptr;
};
thread_local ThreadState thread_state;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) thread_state.last = error;
  return error;
}

cudaError_t availability() {
  Machine& m = machine();
  if (m.driver < CUDART_VERSION) return cudaErrorInsufficientDriver;
  if (m.devices < 1) return cudaErrorNoDevice;
  return m.sticky;
}

void made(Handles Machine::*handles) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  ++(m.*handles).made;
  ++(m.*handles).left;
}
void gone(Handles Machine::*handles) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  --(m.*handles).left;
}

/// For calls that give the current device a context when it has none. cudaGetDeviceCount and the like are not among
/// them.
cudaError_t use_device() {
  if (const cudaError_t error = availability()) return error;
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  m.touched[thread_state.device] = true;
  return cudaSuccess;
}

}  // namespace

struct EmulatedGraph {
  std::vector<std::function<cudaError_t()>> nodes;
};
struct EmulatedGraphExec {
  std::vector<std::function<cudaError_t()>> nodes;
};
struct EmulatedStream {
  int device = 0;
  std::unique_ptr<EmulatedGraph> capture;
  bool invalidated = false;
};
struct EmulatedEvent {
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
};

namespace {

/// Calls that CUDA does not let a capturing thread make: they spoil the capture.
cudaError_t forbidden_in_capture() {
  if (thread_state.capturing) {
    thread_state.capturing->invalidated = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  return cudaSuccess;
}

template <class Work>
cudaError_t enqueue(cudaStream_t stream, Work work) {
  if (const cudaError_t error = use_device()) return result(error);
  if (stream && stream->capture) {
    if (stream->invalidated) return result(cudaErrorStreamCaptureInvalidated);
    stream->capture->nodes.push_back(std::move(work));
    return cudaSuccess;
  }
  return result(work());
}

cudaError_t copy(void* target, const void* source, size_t bytes) {
  if (bytes) std::memmove(target, source, bytes);
  return cudaSuccess;
}

cudaError_t allocate(void** pointer, size_t bytes) {
  *pointer = nullptr;
  if (const cudaError_t error = use_device()) return result(error);
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  const int device = thread_state.device;
  if (++m.allocations == m.faults.fail_allocation || bytes > m.faults.memory - m.used[device]) {
    return result(cudaErrorMemoryAllocation);
  }
  if (bytes == 0) return cudaSuccess;
  // Not rounded up: the end of the allocation is the end of what the sanitizer lets through.
  void* memory = nullptr;
  if (posix_memalign(&memory, kGlobalAlignment, bytes) != 0) return result(cudaErrorMemoryAllocation);
  std::memset(memory, 0xff, bytes);
  m.device_memory[memory] = {bytes, device};
  m.used[device] += bytes;
  *pointer = memory;
  return cudaSuccess;
}

cudaError_t release(void* pointer) {
  if (!pointer) return cudaSuccess;
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  const auto found = m.device_memory.find(pointer);
  if (found == m.device_memory.end()) return result(cudaErrorInvalidValue);
  m.used[found->second.device] -= found->second.bytes;
  m.device_memory.erase(found);
  std::free(pointer);
  return result(m.sticky);
}

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidDevicePointer, "cudaErrorInvalidDevicePointer", "invalid device pointer"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "driver version is too low for the runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is present"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted while a stream is captured"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated", "an earlier error has spoilt the capture"},
};

const ErrorText* find(cudaError_t error) {
  for (const ErrorText& known : kErrors) {
    if (known.error == error) return &known;
  }
  return nullptr;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  const ErrorText* known = find(error);
  return known ? known->name : "unrecognized error code";
}
const char* cudaGetErrorString(cudaError_t error) {
  const ErrorText* known = find(error);
  return known ? known->text : "unrecognized error code";
}

cudaError_t cudaGetLastError() {
  // A sticky fault stays.
  if (const cudaError_t sticky = machine().sticky) return sticky;
  return std::exchange(thread_state.last, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
  if (const cudaError_t sticky = machine().sticky) return sticky;
  return thread_state.last;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = machine().driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (const cudaError_t error = availability()) return result(error);
  *count = machine().devices < kMaxDevices ? machine().devices : kMaxDevices;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count)) return error;
  if (device < 0 || device >= count) return result(cudaErrorInvalidDevice);
  const Machine& m = machine();
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulated");
  std::memcpy(properties->uuid.bytes, "instaseg-emulate", sizeof properties->uuid.bytes);
  properties->uuid.bytes[15] = static_cast<char>(device);
  properties->totalGlobalMem = m.faults.memory;
  properties->sharedMemPerBlock = emulation::kDefaultSharedBytes;
  properties->sharedMemPerBlockOptin = emulation::kMaxSharedBytes;
  properties->sharedMemPerMultiprocessor = emulation::kMaxSharedBytes + 1024;
  properties->major = m.compute_capability / 10;
  properties->minor = m.compute_capability % 10;
  properties->multiProcessorCount = 4;
  properties->maxThreadsPerBlock = emulation::kMaxThreads;
  properties->warpSize = 32;
  properties->l2CacheSize = 32 << 20;
  properties->pciBusID = device;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device)) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = properties.maxThreadsPerBlock;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(properties.sharedMemPerBlock);
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      return cudaSuccess;
    case cudaDevAttrMemoryPoolsSupported:
      *value = 1;
      return cudaSuccess;
  }
  return result(cudaErrorInvalidValue);
}

cudaError_t cudaSetDevice(int device) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count)) return error;
  if (device < 0 || device >= count) return result(cudaErrorInvalidDevice);
  thread_state.device = device;
  return result(use_device());
}
cudaError_t cudaGetDevice(int* device) {
  *device = thread_state.device;
  return result(availability());
}
cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = forbidden_in_capture()) return result(error);
  return result(use_device());
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  if (const cudaError_t error = forbidden_in_capture()) return result(error);
  return allocate(pointer, bytes);
}
cudaError_t cudaFree(void* pointer) {
  if (const cudaError_t error = forbidden_in_capture()) return result(error);
  return release(pointer);
}
cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t stream) {
  // CUDA would make it a node of the graph; nothing of ours asks for that.
  if (stream && stream->capture) return result(cudaErrorStreamCaptureUnsupported);
  return allocate(pointer, bytes);
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  if (stream && stream->capture) return result(cudaErrorStreamCaptureUnsupported);
  return release(pointer);
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) { return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault); }
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  *pointer = nullptr;
  if (const cudaError_t error = forbidden_in_capture()) return result(error);
  if (const cudaError_t error = use_device()) return result(error);
  if (bytes == 0) return cudaSuccess;
  if (posix_memalign(pointer, kGlobalAlignment, bytes) != 0) return result(cudaErrorMemoryAllocation);
  made(&Machine::pinned);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* pointer) {
  if (const cudaError_t error = forbidden_in_capture()) return result(error);
  if (pointer) gone(&Machine::pinned);
  std::free(pointer);
  return result(machine().sticky);
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (const cudaError_t error = use_device()) return result(error);
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  *total = m.faults.memory;
  *free = m.faults.memory - m.used[thread_state.device];
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* target, const void* source, size_t bytes, cudaMemcpyKind) {
  if (const cudaError_t error = forbidden_in_capture()) return result(error);
  return enqueue(nullptr, [=] { return copy(target, source, bytes); });
}
cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  return enqueue(stream, [=] { return copy(target, source, bytes); });
}
cudaError_t cudaMemset(void* target, int value, size_t bytes) {
  if (const cudaError_t error = forbidden_in_capture()) return result(error);
  return cudaMemsetAsync(target, value, bytes, nullptr);
}
cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t stream) {
  return enqueue(stream, [=] {
    if (bytes) std::memset(target, value, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  if (const cudaError_t error = use_device()) return result(error);
  made(&Machine::streams);
  *stream = new EmulatedStream{thread_state.device, nullptr, false};
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!stream) return result(cudaErrorInvalidResourceHandle);
  if (thread_state.capturing == stream) thread_state.capturing = nullptr;
  gone(&Machine::streams);
  delete stream;
  return result(machine().sticky);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t error = forbidden_in_capture()) return result(error);
  if (stream && stream->capture) return result(cudaErrorStreamCaptureUnsupported);
  return result(availability());
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t event, unsigned) {
  return result(event ? availability() : cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  if (const cudaError_t error = use_device()) return result(error);
  made(&Machine::events);
  *event = new EmulatedEvent;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (!event) return result(cudaErrorInvalidResourceHandle);
  gone(&Machine::events);
  delete event;
  return result(machine().sticky);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (!event) return result(cudaErrorInvalidResourceHandle);
  return enqueue(stream, [=] {
    event->recorded = true;
    event->time = std::chrono::steady_clock::now();
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const cudaError_t error = forbidden_in_capture()) return result(error);
  return result(event ? availability() : cudaErrorInvalidResourceHandle);
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (!begin || !end || !begin->recorded || !end->recorded) return result(cudaErrorInvalidResourceHandle);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return result(machine().sticky);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (const cudaError_t error = availability()) return result(error);
  // The default stream cannot be captured.
  if (!stream || stream->capture) return result(cudaErrorStreamCaptureUnsupported);
  stream->capture = std::make_unique<EmulatedGraph>();
  stream->invalidated = false;
  if (mode != cudaStreamCaptureModeRelaxed) thread_state.capturing = stream;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!stream || !stream->capture) return result(cudaErrorInvalidValue);
  if (thread_state.capturing == stream) thread_state.capturing = nullptr;
  const std::unique_ptr<EmulatedGraph> captured = std::move(stream->capture);
  if (stream->invalidated) return result(cudaErrorStreamCaptureInvalidated);
  if (const cudaError_t error = availability()) return result(error);
  made(&Machine::graphs);
  *graph = new EmulatedGraph(std::move(*captured));
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = !stream || !stream->capture ? cudaStreamCaptureStatusNone
            : stream->invalidated       ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = nullptr;
  if (!graph) return result(cudaErrorInvalidValue);
  if (const cudaError_t error = use_device()) return result(error);
  made(&Machine::graphs);
  *exec = new EmulatedGraphExec{graph->nodes};
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t) {
  return result(exec ? availability() : cudaErrorInvalidValue);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (!exec) return result(cudaErrorInvalidValue);
  if (stream && stream->capture) return result(cudaErrorStreamCaptureUnsupported);
  if (const cudaError_t error = availability()) return result(error);
  for (const auto& node : exec->nodes) {
    if (const cudaError_t error = node()) return result(error);
  }
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (graph) gone(&Machine::graphs);
  delete graph;
  return result(machine().sticky);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  if (exec) gone(&Machine::graphs);
  delete exec;
  return result(machine().sticky);
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (const cudaError_t error = use_device()) return result(error);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > emulation::kMaxSharedBytes) return result(cudaErrorInvalidValue);
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  m.dynamic_shared_limits[function] = static_cast<size_t>(value);
  return cudaSuccess;
}

namespace instaseg::cuda::emulation {

cudaError_t launch_grid(cudaStream_t stream, Grid grid, std::shared_ptr<const void> arguments) {
  const uint64_t threads = uint64_t{grid.block.x} * grid.block.y * grid.block.z;
  if (grid.grid.x == 0 || grid.grid.y == 0 || grid.grid.z == 0 || grid.grid.x > 0x7fffffffu || grid.grid.y > 65535 ||
      grid.grid.z > 65535 || threads == 0 || threads > kMaxThreads || grid.block.z > 64) {
    return result(cudaErrorInvalidConfiguration);
  }
  if (grid.shared_bytes > kDefaultSharedBytes) {
    Machine& m = machine();
    const std::lock_guard lock(m.mutex);
    const auto limit = m.dynamic_shared_limits.find(grid.kernel);
    if (limit == m.dynamic_shared_limits.end() || grid.shared_bytes > limit->second) {
      return result(cudaErrorInvalidValue);
    }
  }
  return enqueue(stream, [grid, arguments = std::move(arguments)]() -> cudaError_t {
    Machine& m = machine();
    {
      const std::lock_guard lock(m.mutex);
      ++m.launches;
      if (m.faults.fail_launch && m.launches >= m.faults.fail_launch) m.sticky = cudaErrorIllegalAddress;
      if (m.sticky) return m.sticky;
    }
    run_grid(grid);
    return cudaSuccess;
  });
}

void set_fault_injection(const FaultInjection& faults) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  m.faults = faults;
  m.sticky = cudaSuccess;
  m.allocations = 0;
  m.launches = 0;
}

}  // namespace instaseg::cuda::emulation
