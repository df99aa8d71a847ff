#include "runtime/device.h"

#include <algorithm>
#include <utility>

namespace instaseg {

namespace {

// A machine without AVX2 gets the highest level it has; a level asked for beyond AVX2 must really be there.
Isa usable_isa(const std::optional<Isa>& wanted) {
  const Isa available = available_isa();
  if (!wanted) return available;
  require(*wanted <= Isa::avx2 || *wanted <= available, ErrorCode::device_unavailable,
          *wanted <= detect_isa() ? "INSTASEG_ISA forbids " : "this processor has no ", name_of(*wanted));
  return std::min(*wanted, available);
}

}  // namespace

Device::Device(const DeviceOptions& options)
    : options_(options),
      isa_(usable_isa(options.isa)),
      host_(std::make_shared<HostAllocator>(options.kind == DeviceKind::cpu ? options.memory_limit : 0)),
      memory_(host_),
      pool_(options.threads > 0 ? options.threads : default_thread_count()) {
  require(options.kind == DeviceKind::cpu || accelerator(), ErrorCode::device_unavailable,
          "this build of instaseg has no CUDA backend");
}

Device::~Device() { stop(); }

void Device::open() {
  if (options_.kind == DeviceKind::cpu) return;
  backend_ = accelerator()->open(options_.index, options_.memory_limit);
  memory_ = backend_->memory();
}

Target Device::target() const {
  Target target;
  target.device = options_.kind;
  target.isa = isa_;
  target.compute_capability = backend_ ? backend_->compute_capability() : 0;
  target.variant = options_.variant;
  target.threads = pool_.threads();
  target.host = host_;
  target.backend = backend_;
  return target;
}

void Device::trim() {
  host_->trim();
  if (!backend_) return;
  submit({.work = [backend = backend_](ThreadPool&) { backend->trim(); },
          .cancel = std::make_shared<CancelFlag>(false),
          .done = [](const std::exception_ptr&) {}});
}

void Device::submit(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopped_) {
      queue_.push_back(std::move(task));
      if (!thread_.joinable()) thread_ = std::thread([this] { serve(); });
      wake_.notify_one();
      return;
    }
  }
  task.done(std::make_exception_ptr(Error(ErrorCode::disposed, "the device was disposed")));
}

void Device::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
    if (queue_.empty()) break;
    Task task = std::move(queue_.front());
    queue_.pop_front();
    running_ = task.cancel;
    if (stopped_) *task.cancel = true;
    lock.unlock();
    std::exception_ptr error;
    try {
      require(!task.cancel->load(), ErrorCode::aborted, "the run was aborted");
      task.work(pool_);
    } catch (...) {
      error = std::current_exception();
    }
    // Memory goes back to the allocator before anyone hears of the end.
    task.work = nullptr;
    task.done(error);
    task = {};
    lock.lock();
    running_.reset();
  }
  if (backend_) backend_->close();
}

void Device::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    if (running_) *running_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace instaseg
