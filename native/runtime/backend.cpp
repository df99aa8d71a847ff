#include "runtime/backend.h"

#include <algorithm>
#include <atomic>
#include <optional>

namespace instaseg {

namespace {

std::optional<BackendKind>& registered() {
  static std::optional<BackendKind> kind;
  return kind;
}

}  // namespace

const BackendKind* accelerator() { return registered() ? &*registered() : nullptr; }

AcceleratorRegistration::AcceleratorRegistration(BackendKind kind) { registered() = std::move(kind); }

Backend::Backend()
    : id_([] {
        static std::atomic<uint64_t> next{1};
        return next++;
      }()) {}

Backend::Scratch Backend::scratch(size_t bytes) {
  if (!scratch_.data() || scratch_.size() < bytes) {
    // The old block first: both together may not fit.
    scratch_.reset();
    scratch_ = memory()->allocate(std::max<size_t>(bytes, 1));
    ++generation_;
  }
  return {static_cast<char*>(scratch_.data()), generation_};
}

std::shared_ptr<const void> Backend::keep(const void* host, size_t bytes) {
  auto buffer = std::make_shared<Buffer>(memory()->allocate(std::max<size_t>(bytes, 1)));
  if (bytes) {
    upload(buffer->data(), host, bytes);
    synchronize();
  }
  return {buffer, buffer->data()};
}

}  // namespace instaseg
