// Runs of a plan on the CPU.
#include <chrono>
#include <cstring>

#include "runtime/plan_execution.h"

namespace instaseg {

namespace {

#if defined(__SANITIZE_ADDRESS__)
// Every block is an allocation of its own, so that the sanitizer sees an access past its end.
class Arena {
 public:
  Arena(std::shared_ptr<HostAllocator> allocator, int64_t) : allocator_(std::move(allocator)) {}
  char* at(int64_t, int64_t bytes) {
    blocks_.push_back(allocator_->allocate(static_cast<size_t>(bytes)));
    if (poison_requested()) std::memset(blocks_.back().data(), 0xff, blocks_.back().size());
    return static_cast<char*>(blocks_.back().data());
  }

 private:
  std::shared_ptr<HostAllocator> allocator_;
  std::vector<Buffer> blocks_;
};
#else
class Arena {
 public:
  Arena(const std::shared_ptr<HostAllocator>& allocator, int64_t bytes)
      : buffer_(allocator->allocate(static_cast<size_t>(bytes))) {
    if (poison_requested()) std::memset(buffer_.data(), 0xff, buffer_.size());
  }
  char* at(int64_t offset, int64_t) const { return static_cast<char*>(buffer_.data()) + offset; }

 private:
  Buffer buffer_;
};
#endif

}  // namespace

void Plan::run_on_host(Run& run, ThreadPool& pool) const {
  const std::vector<Value>& values = graph_.values();
  Execution execution(*this, run, pool);
  execution.check_inputs();
  Arena arena(target_.host, arena_bytes_);
  std::vector<std::shared_ptr<Buffer>> owned(values.size());
  execution.own = [&](ValueId id, const Shape& shape) {
    const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(values[id].spec.dtype);
    owned[id] = std::make_shared<Buffer>(target_.host->allocate(bytes));
    // Rows past a count are never written; a caller must not see what the memory held before.
    std::memset(owned[id]->data(), 0, bytes);
    execution.views[id] = {values[id].spec.dtype, shape, owned[id]->data()};
    return owned[id]->data();
  };
  for (size_t id = 0; id < values.size(); ++id) {
    const TensorSpec& spec = values[id].spec;
    if (values[id].constant) {
      execution.views[id] = values[id].constant->view();
    } else if (values[id].input >= 0) {
      execution.views[id] = run.inputs[values[id].input].view();
    } else if (offsets_[id] == kOwnMemory && !spec.shape.dynamic()) {
      execution.own(static_cast<ValueId>(id), spec.shape);
    } else if (offsets_[id] >= 0) {
      execution.views[id] = {spec.dtype, spec.shape, arena.at(offsets_[id], spec.bytes())};
    }
  }

  for (size_t i = 0; i < steps_.size(); ++i) {
    execution.check_cancelled();
    const auto start = std::chrono::steady_clock::now();
    execution.run_step(i, arena.at(steps_[i].workspace_offset, steps_[i].workspace_bytes));
    if (run.profile) {
      run.step_milliseconds.push_back(
          std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
  }
  execution.check_cancelled();

  for (ValueId id : outputs_) {
    const TensorView view = execution.resolve(id);
    HostTensor result{view.dtype, view.shape, owned[values[id].root]};
    if (!result.buffer) {  // an input or a constant passed through
      result.buffer = std::make_shared<Buffer>(target_.host->allocate(static_cast<size_t>(view.bytes())));
      std::memcpy(result.buffer->data(), view.data, result.buffer->size());
    }
    run.outputs.push_back(std::move(result));
  }
}

}  // namespace instaseg
