// Runs of a plan on an accelerator: uploads, one replayed recording, steps of dynamic shape, downloads.
#include <algorithm>
#include <cstring>

#include "runtime/plan_backend_state.h"

namespace instaseg {

namespace {

constexpr int64_t kAlignment = 256;

int64_t align(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

Plan::BackendState::BackendState(const Plan& plan)
    : addresses(plan.graph_.values().size(), nullptr),
      workspaces(plan.steps_.size(), nullptr),
      plan_(plan),
      backend_(*plan.target_.backend),
      bytes_(align(plan.arena_bytes_)),
      io_offsets_(plan.graph_.values().size(), -1) {
  const std::vector<Value>& values = plan.graph_.values();
  for (size_t id = 0; id < values.size(); ++id) {
    if (values[id].input < 0 && plan.offsets_[id] != kOwnMemory) continue;
    if (values[id].spec.shape.dynamic()) continue;
    io_offsets_[id] = bytes_;
    bytes_ += align(std::max<int64_t>(values[id].spec.bytes(), 1));
  }
  faults_offset_ = bytes_;
  bytes_ += align(static_cast<int64_t>(plan.steps_.size() * sizeof(uint64_t)));
  const auto dynamic =
      std::find_if(plan.steps_.begin(), plan.steps_.end(), [](const PlanStep& step) { return step.dynamic; });
  recorded_end = static_cast<size_t>(dynamic - plan.steps_.begin());
  const auto moves = [&](ValueId id) {
    if (id == kAbsent) return false;
    const Value& root = values[values[id].root];
    return root.input >= 0 && root.spec.shape.dynamic();
  };
  for (size_t i = 0; i < recorded_end; ++i) {
    const std::vector<ValueId>& inputs = plan.steps_[i].node.inputs;
    if (std::any_of(inputs.begin(), inputs.end(), moves)) recorded_begin = i + 1;
  }
}

#if defined(__SANITIZE_ADDRESS__)
// Every value is an allocation of its own, so that the sanitizer sees an access past its end.
void Plan::BackendState::place() {
  if (!blocks_.empty()) return;
  const auto block = [&](int64_t bytes) {
    blocks_.push_back(backend_.memory()->allocate(static_cast<size_t>(std::max<int64_t>(bytes, 1))));
    return static_cast<char*>(blocks_.back().data());
  };
  const std::vector<Value>& values = plan_.graph_.values();
  for (size_t id = 0; id < values.size(); ++id) {
    if (io_offsets_[id] >= 0 || plan_.offsets_[id] >= 0) addresses[id] = block(values[id].spec.bytes());
  }
  for (size_t i = 0; i < workspaces.size(); ++i) workspaces[i] = block(plan_.steps_[i].workspace_bytes);
  faults = reinterpret_cast<uint64_t*>(block(static_cast<int64_t>(plan_.steps_.size() * sizeof(uint64_t))));
}

void Plan::BackendState::poison() const {
  for (const Buffer& block : blocks_) backend_.fill(block.data(), 0xff, block.size());
}
#else
void Plan::BackendState::place() {
  const Backend::Scratch scratch = backend_.scratch(static_cast<size_t>(bytes_));
  if (scratch.generation == generation_) return;
  generation_ = scratch.generation;
  recording.reset();
  base_ = scratch.data;
  for (size_t id = 0; id < addresses.size(); ++id) {
    const int64_t offset = io_offsets_[id] >= 0 ? io_offsets_[id] : plan_.offsets_[id];
    addresses[id] = offset >= 0 ? base_ + offset : nullptr;
  }
  for (size_t i = 0; i < workspaces.size(); ++i) workspaces[i] = base_ + plan_.steps_[i].workspace_offset;
  faults = reinterpret_cast<uint64_t*>(base_ + faults_offset_);
}

void Plan::BackendState::poison() const { backend_.fill(base_, 0xff, static_cast<size_t>(plan_.arena_bytes_)); }
#endif

void Plan::upload_constants() {
  device_constants_.resize(graph_.values().size());
  const auto upload = [&](ValueId root) {
    const std::shared_ptr<Constant>& constant = graph_.values()[root].constant;
    if (constant) device_constants_[root] = constant->on(*target_.backend);
  };
  // A constant that is only packed needs no plain copy.
  for (const PlanStep& step : steps_) {
    for (size_t slot = 0; slot < step.node.inputs.size(); ++slot) {
      const ValueId id = step.node.inputs[slot];
      if (id == kAbsent || (step.kernel->pack && static_cast<int>(slot) == step.kernel->packed_input)) continue;
      upload(graph_.values()[id].root);
    }
  }
  for (ValueId id : outputs_) upload(graph_.values()[id].root);
}

void Plan::run_on_backend(Run& run, ThreadPool& pool) const {
  Backend& backend = *target_.backend;
  BackendState& state = *backend_state_;
  const std::vector<Value>& values = graph_.values();
  Execution execution(*this, run, pool);
  execution.check_inputs();
  state.place();

  std::vector<Buffer> staged;
  std::vector<Buffer> blocks;  // of dynamic inputs and outputs
  const auto block = [&](int64_t bytes) {
    blocks.push_back(backend.memory()->allocate(static_cast<size_t>(std::max<int64_t>(bytes, 1))));
    return blocks.back().data();
  };
  execution.own = [&](ValueId id, const Shape& shape) {
    TensorView& view = execution.views[id];
    view = {values[id].spec.dtype, shape, nullptr};
    view.data = block(view.bytes());
    if (view.bytes()) backend.fill(view.data, 0, static_cast<size_t>(view.bytes()));
    return view.data;
  };
  for (size_t id = 0; id < values.size(); ++id) {
    TensorView& view = execution.views[id];
    view = {values[id].spec.dtype, values[id].spec.shape, state.addresses[id]};
    if (values[id].constant) {
      view.data = const_cast<void*>(device_constants_[id].get());
    } else if (values[id].input >= 0) {
      const TensorView given = run.inputs[values[id].input].view();
      view.shape = given.shape;
      if (!view.data) view.data = block(given.bytes());
    }
  }

  try {
    if (poison_requested()) state.poison();
    for (size_t id = 0; id < values.size(); ++id) {
      if (values[id].input < 0) continue;
      const TensorView given = run.inputs[values[id].input].view();
      const auto bytes = static_cast<size_t>(given.bytes());
      if (!bytes) continue;
      staged.push_back(backend.staging()->allocate(bytes));
      std::memcpy(staged.back().data(), given.data, bytes);
      backend.upload(execution.views[id].data, staged.back().data(), bytes);
    }
    const auto clear = [&] {
      backend.fill(state.faults, 0, steps_.size() * sizeof(uint64_t));
      // Rows past a count are never written; a caller must not see what the memory held before.
      for (size_t id = 0; id < values.size(); ++id) {
        if (offsets_[id] != kOwnMemory || values[id].spec.shape.dynamic()) continue;
        const auto bytes = static_cast<size_t>(values[id].spec.bytes());
        if (bytes) backend.fill(state.addresses[id], 0, bytes);
      }
    };
    const auto step = [&](size_t i) {
      execution.run_step(i, state.workspaces[i], state.faults + i);
      if (run.profile) backend.mark();
    };
    clear();
    if (run.profile) backend.mark();
    for (size_t i = 0; i < state.recorded_begin; ++i) step(i);
    const auto middle = [&] {
      for (size_t i = state.recorded_begin; i < state.recorded_end; ++i) step(i);
    };
    // The first run of a plan is not recorded: an eager op never runs again, and modules are loaded outside recordings.
    if (run.profile || state.runs == 0 || state.recorded_begin == state.recorded_end) {
      middle();
    } else {
      if (!state.recording) state.recording = backend.record(middle);
      state.recording->replay();
    }
    ++state.runs;
    for (size_t i = state.recorded_end; i < steps_.size(); ++i) {
      execution.check_cancelled();
      step(i);
    }

    for (ValueId id : outputs_) {
      const TensorView view = execution.resolve(id);
      const auto bytes = static_cast<size_t>(view.bytes());
      run.outputs.push_back({view.dtype, view.shape, std::make_shared<Buffer>(backend.staging()->allocate(bytes))});
      if (bytes) backend.download(run.outputs.back().buffer->data(), view.data, bytes);
    }
    std::vector<uint64_t> faults(steps_.size());
    backend.download(faults.data(), state.faults, faults.size() * sizeof(uint64_t));
    backend.synchronize();
    execution.check_faults(faults);
    if (run.profile) run.step_milliseconds = backend.mark_intervals();
    execution.check_cancelled();
  } catch (...) {
    // What is queued still reads and writes the buffers of this run.
    try {
      backend.synchronize();
    } catch (const Error&) {
    }
    run.outputs.clear();
    throw;
  }
}

}  // namespace instaseg
