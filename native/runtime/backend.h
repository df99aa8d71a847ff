// What a kind of device that is not the host brings: memory of its own, copies, a stream that kernels are launched on,
// and recordings of launches (CUDA graphs). The runtime knows devices only through this; native/cuda implements it.
//
// A backend belongs to one Device, whose thread makes every call: a thread that calls a driver gets a current device,
// and with it a context on a device that nobody asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/allocator.h"

namespace instaseg {

enum class DeviceKind { cpu, cuda };

/// Launches recorded once, to be replayed at the cost of one.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Queues everything on the backend's stream.
  virtual void replay() = 0;
};

class Backend {
 public:
  Backend();
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  /// Never given twice in a process.
  uint64_t id() const { return id_; }

  /// 10 * major + minor; rows of kernels name the least that they need.
  virtual int compute_capability() const = 0;
  /// Device memory. Blocks may be freed on any thread; they go to the cache.
  virtual const std::shared_ptr<Allocator>& memory() const = 0;
  /// Host memory that copies to and from the device are quickest with; allocated on the device's thread only.
  virtual const std::shared_ptr<Allocator>& staging() const = 0;
  /// What kernels are launched on; the type is the backend's own.
  virtual void* stream() const = 0;

  /// Queues a copy. `host` must stay until the stream has passed it.
  virtual void upload(void* device, const void* host, size_t bytes) = 0;
  /// Queues a copy; the data is there after synchronize().
  virtual void download(void* host, const void* device, size_t bytes) = 0;
  virtual void copy(void* device, const void* source, size_t bytes) = 0;
  virtual void fill(void* device, int byte, size_t bytes) = 0;
  /// Waits for everything queued. Throws what the device reported.
  virtual void synchronize() = 0;

  /// Gives cached memory back.
  virtual void trim() = 0;
  /// Frees everything on the device, memory in use included: the last call on the device's thread.
  virtual void close() = 0;

  /// Records what `work` queues instead of running it. `work` must not allocate device memory or synchronise.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& work) = 0;

  /// Marks a moment of the stream; `mark_intervals` waits and gives the milliseconds between successive marks.
  virtual void mark() = 0;
  virtual std::vector<double> mark_intervals() = 0;

  /// The memory that runs work in, at least `bytes`: one block for all plans of a device, since its runs follow one
  /// another. When it had to move, `generation` changes, and what was recorded on it must be recorded again.
  struct Scratch {
    char* data;
    uint64_t generation;
  };
  Scratch scratch(size_t bytes);

  /// A copy of host memory that lives as long as the pointer; `host` may go at once.
  std::shared_ptr<const void> keep(const void* host, size_t bytes);

 protected:
  /// Drops the scratch memory; implementations call it before their allocator goes.
  void drop_scratch() { scratch_.reset(); }

 private:
  const uint64_t id_;
  Buffer scratch_;
  uint64_t generation_ = 0;
};

/// A device as listed, available or not.
struct BackendDevice {
  int index = 0;
  std::string name;
  /// As the vendor's tools print it, or empty.
  std::string uuid;
  int compute_capability = 0;
  int64_t memory_bytes = 0;
  int64_t l2_bytes = 0;
  /// Why it cannot be used, or empty.
  std::string reason;
};

/// One kind of device in this build.
struct BackendKind {
  DeviceKind kind = DeviceKind::cuda;
  /// "cuda"; "cuda-emulated" in builds that emulate it on the host.
  std::string name;
  /// For example the version of the driver and of the runtime that this build has, as text.
  std::function<std::string()> describe;
  /// The devices, or none with the `reason`. Never throws, opens nothing on any device.
  std::function<std::vector<BackendDevice>(std::string& reason)> list;
  /// Throws ERR_DEVICE_UNAVAILABLE. Called on the thread that will use the backend.
  std::function<std::shared_ptr<Backend>(int index, int64_t memory_limit)> open;
};

/// The kind that this build has beside the CPU, or null.
const BackendKind* accelerator();

struct AcceleratorRegistration {
  explicit AcceleratorRegistration(BackendKind kind);
};

}  // namespace instaseg
