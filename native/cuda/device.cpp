// The CUDA backend: devices as listed, and one opened with its stream, memory and graphs.
//
// The runtime is linked statically and finds the driver when it is first called, so the addon loads on any machine.
// The primary context is shared with other libraries in the process: it is neither reset nor released here.
#include <set>
#include <utility>

#include "cuda/architectures.h"
#include "cuda/error.h"
#include "cuda/memory.h"
#include "runtime/backend.h"
#include "runtime/error.h"

namespace instaseg::cuda {
namespace {

#ifdef INSTASEG_CUDA_EMULATED
constexpr const char* kName = "cuda-emulated";
#else
constexpr const char* kName = "cuda";
#endif

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

int driver_version() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess) cudaGetLastError();
  return version;
}

int runtime_version() {
  int version = 0;
  cudaRuntimeGetVersion(&version);
  return version;
}

std::string describe() {
  const int driver = driver_version();
  return "CUDA runtime " + version_text(runtime_version()) +
         (driver ? ", driver for CUDA " + version_text(driver) : ", no NVIDIA driver") +
         ", kernels for compute capability " + describe_architectures(compiled_architectures());
}

// Why no device can be used at all, or empty.
std::string no_devices(int& count) {
  count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaSuccess && count > 0) return {};
  cudaGetLastError();
  const int driver = driver_version();
  if (driver == 0) return "there is no NVIDIA driver on this machine";
  if (result == cudaErrorInsufficientDriver || driver / 1000 < runtime_version() / 1000) {
    return "the NVIDIA driver is too old: it supports CUDA " + version_text(driver) + ", and CUDA " +
           version_text(runtime_version()) + " is needed (driver 580 or newer)";
  }
  if (result == cudaSuccess || result == cudaErrorNoDevice) return "the NVIDIA driver sees no GPU";
  return std::string("the NVIDIA driver reports ") + cudaGetErrorName(result) + " (" + cudaGetErrorString(result) + ")";
}

std::string unsupported(int compute_capability) {
  if (architecture_supported(compute_capability)) return {};
  return "compute capability " + std::to_string(compute_capability / 10) + "." +
         std::to_string(compute_capability % 10) + " is not among those that this build has kernels for (" +
         describe_architectures(compiled_architectures()) + ")";
}

std::string uuid_text(const cudaUUID_t& uuid) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text = "GPU-";
  for (size_t i = 0; i < sizeof(uuid.bytes); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits[static_cast<unsigned char>(uuid.bytes[i]) >> 4];
    text += digits[static_cast<unsigned char>(uuid.bytes[i]) & 15];
  }
  return text;
}

std::vector<BackendDevice> list(std::string& reason) {
  int count = 0;
  reason = no_devices(count);
  std::vector<BackendDevice> devices;
  for (int index = 0; index < count && reason.empty(); ++index) {
    BackendDevice& device = devices.emplace_back();
    device.index = index;
    cudaDeviceProp properties{};
    if (const cudaError_t result = cudaGetDeviceProperties(&properties, index); result != cudaSuccess) {
      cudaGetLastError();
      device.reason = cudaGetErrorString(result);
      continue;
    }
    device.name = properties.name;
    device.uuid = uuid_text(properties.uuid);
    device.compute_capability = properties.major * 10 + properties.minor;
    device.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    device.l2_bytes = properties.l2CacheSize;
    device.reason = unsupported(device.compute_capability);
  }
  return devices;
}

class CudaBackend;

class CudaRecording : public Recording {
 public:
  CudaRecording(std::shared_ptr<CudaBackend> backend, cudaGraphExec_t graph)
      : backend_(std::move(backend)), graph_(graph) {}
  ~CudaRecording() override;
  void replay() override;

 private:
  std::shared_ptr<CudaBackend> backend_;
  cudaGraphExec_t graph_;
};

class CudaBackend : public Backend, public std::enable_shared_from_this<CudaBackend> {
 public:
  CudaBackend(int index, int compute_capability, bool pooled, int64_t memory_limit)
      : index_(index), compute_capability_(compute_capability) {
    check(cudaSetDevice(index_), "selecting the device");
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
    memory_ = std::make_shared<DeviceAllocator>(stream_, pooled, memory_limit);
    pinned_ = std::make_shared<PinnedAllocator>();
    memory_base_ = memory_;
    pinned_base_ = pinned_;
  }

  int compute_capability() const override { return compute_capability_; }
  const std::shared_ptr<Allocator>& memory() const override { return memory_base_; }
  const std::shared_ptr<Allocator>& staging() const override { return pinned_base_; }
  void* stream() const override { return stream_; }

  void upload(void* device, const void* host, size_t bytes) override {
    run(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_), "copying to the GPU");
  }
  void download(void* host, const void* device, size_t bytes) override {
    run(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the GPU");
  }
  void copy(void* device, const void* source, size_t bytes) override {
    run(cudaMemcpyAsync(device, source, bytes, cudaMemcpyDeviceToDevice, stream_), "copying on the GPU");
  }
  void fill(void* device, int byte, size_t bytes) override {
    run(cudaMemsetAsync(device, byte, bytes, stream_), "filling memory");
  }
  void synchronize() override {
    free_discarded();
    run(cudaStreamSynchronize(stream_), "waiting for the GPU");
  }

  std::unique_ptr<Recording> record(const std::function<void()>& work) override {
    free_discarded();
    // Thread-local: what other threads of the process do on their streams is their own business.
    run(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "recording");
    cudaGraph_t graph = nullptr;
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(stream_, &graph);
      if (graph) cudaGraphDestroy(graph);
      cudaGetLastError();
      throw;
    }
    run(cudaStreamEndCapture(stream_, &graph), "recording");
    cudaGraphExec_t executable = nullptr;
    const cudaError_t result = cudaGraphInstantiate(&executable, graph, 0);
    cudaGraphDestroy(graph);
    run(result, "instantiating a graph");
    {
      const std::lock_guard lock(graphs_mutex_);
      graphs_.insert(executable);
    }
    return std::make_unique<CudaRecording>(shared_from_this(), executable);
  }
  void replay(cudaGraphExec_t graph) { run(cudaGraphLaunch(graph, stream_), "launching a graph"); }
  /// From any thread: the graph is destroyed later, on the device's own. It was when the device was closed before.
  void discard(cudaGraphExec_t graph) {
    const std::lock_guard lock(graphs_mutex_);
    if (graphs_.erase(graph)) discarded_.push_back(graph);
  }

  void mark() override {
    if (marks_ == events_.size()) run(cudaEventCreate(&events_.emplace_back()), "creating an event");
    run(cudaEventRecord(events_[marks_++], stream_), "recording an event");
  }
  std::vector<double> mark_intervals() override {
    const size_t marks = std::exchange(marks_, 0);
    std::vector<double> milliseconds;
    if (marks) run(cudaEventSynchronize(events_[marks - 1]), "waiting for the GPU");
    for (size_t i = 1; i < marks; ++i) {
      float elapsed = 0;
      run(cudaEventElapsedTime(&elapsed, events_[i - 1], events_[i]), "measuring time");
      milliseconds.push_back(elapsed);
    }
    return milliseconds;
  }

  void trim() override {
    memory_->trim();
    pinned_->trim();
  }

  void close() override {
    // Whatever the device reports now has nobody left to hear it.
    cudaStreamSynchronize(stream_);
    {
      // Plans may outlive their device.
      const std::lock_guard lock(graphs_mutex_);
      discarded_.insert(discarded_.end(), graphs_.begin(), graphs_.end());
      graphs_.clear();
    }
    free_discarded();
    drop_scratch();
    memory_->close();
    pinned_->close();
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
    events_.clear();
    cudaStreamDestroy(stream_);
    stream_ = nullptr;
    cudaGetLastError();
  }

 private:
  // A device that failed once keeps saying so, whatever later calls return.
  void run(cudaError_t result, const char* what) {
    if (lost_ != cudaSuccess) check(lost_, what);
    if (sticky(result)) lost_ = result;
    check(result, what);
  }

  void free_discarded() {
    const std::lock_guard lock(graphs_mutex_);
    for (cudaGraphExec_t graph : discarded_) cudaGraphExecDestroy(graph);
    discarded_.clear();
  }

  const int index_;
  const int compute_capability_;
  cudaStream_t stream_ = nullptr;
  std::shared_ptr<DeviceAllocator> memory_;
  std::shared_ptr<PinnedAllocator> pinned_;
  std::shared_ptr<Allocator> memory_base_;
  std::shared_ptr<Allocator> pinned_base_;
  std::vector<cudaEvent_t> events_;
  size_t marks_ = 0;
  cudaError_t lost_ = cudaSuccess;
  std::mutex graphs_mutex_;
  /// Those of recordings that are alive, and those that wait for the device's thread to destroy them.
  std::set<cudaGraphExec_t> graphs_;
  std::vector<cudaGraphExec_t> discarded_;
};

CudaRecording::~CudaRecording() { backend_->discard(graph_); }
void CudaRecording::replay() { backend_->replay(graph_); }

std::shared_ptr<Backend> open(int index, int64_t memory_limit) {
  std::string reason;
  const std::vector<BackendDevice> devices = list(reason);
  const std::string name = std::string(kName) + ":" + std::to_string(index);
  require(reason.empty(), ErrorCode::device_unavailable, name, " is not available: ", reason);
  require(index >= 0 && index < static_cast<int>(devices.size()), ErrorCode::device_unavailable, name,
          " is not available: there ",
          devices.size() == 1 ? "is 1 GPU" : "are " + std::to_string(devices.size()) + " GPUs");
  const BackendDevice& device = devices[static_cast<size_t>(index)];
  require(device.reason.empty(), ErrorCode::device_unavailable, name, " (", device.name,
          ") is not available: ", device.reason);
  int pooled = 0;
  check(cudaDeviceGetAttribute(&pooled, cudaDevAttrMemoryPoolsSupported, index), "reading the device's attributes");
  return std::make_shared<CudaBackend>(index, device.compute_capability, pooled != 0, memory_limit);
}

const AcceleratorRegistration registration{
    {.kind = DeviceKind::cuda, .name = kName, .describe = describe, .list = list, .open = open}};

}  // namespace
}  // namespace instaseg::cuda
