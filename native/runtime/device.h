// A device and the thread that its plans run on: runs are served one after the other, each by all of its threads.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "runtime/plan.h"

namespace instaseg {

struct DeviceOptions {
  DeviceKind kind = DeviceKind::cpu;
  /// Among the devices of an accelerator.
  int index = 0;
  /// 0: default_thread_count().
  int threads = 0;
  /// Highest level that kernels may use; absent: available_isa().
  std::optional<Isa> isa;
  std::string variant;
  /// Bytes, 0 for none.
  int64_t memory_limit = 0;
};

class Device {
 public:
  /// Throws ERR_DEVICE_UNAVAILABLE where this build has no such kind, or the processor lacks the ISA.
  explicit Device(const DeviceOptions& options);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// Opens an accelerator: on the device's thread, before anything else runs there. Throws ERR_DEVICE_UNAVAILABLE.
  void open();

  Target target() const;
  /// Memory for constants and for the inputs of runs, on the host.
  const std::shared_ptr<HostAllocator>& host() const { return host_; }
  /// Memory that runs work in: the accelerator's, or the host's.
  const std::shared_ptr<Allocator>& memory() const { return memory_; }
  /// Gives cached memory back: the accelerator's some time later, on the device's thread.
  void trim();
  int threads() const { return pool_.threads(); }
  Isa isa() const { return isa_; }

  /// Work for the device's thread. `cancel` is set by stop(), and by whoever else holds it.
  struct Task {
    std::function<void(ThreadPool&)> work;
    std::shared_ptr<CancelFlag> cancel;
    /// Called once, on the device's thread, with what `work` threw, or null.
    std::function<void(std::exception_ptr)> done;
  };
  /// Queues a task; after stop() its `done` is called at once with ERR_DISPOSED.
  void submit(Task task);
  /// Cancels what is queued or running and joins the thread. Idempotent.
  void stop();

 private:
  void serve();

  const DeviceOptions options_;
  Isa isa_;
  std::shared_ptr<HostAllocator> host_;
  std::shared_ptr<Backend> backend_;
  std::shared_ptr<Allocator> memory_;
  ThreadPool pool_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> queue_;
  std::shared_ptr<CancelFlag> running_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace instaseg
