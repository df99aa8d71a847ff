// A compiled forward pass: kernels chosen, weights packed, intermediates laid out in one arena by lifetime.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/graph.h"

namespace instaseg {

/// Where a plan runs and which kernels it may use.
struct Target : Capability {
  int threads = 1;
  std::shared_ptr<HostAllocator> host;
  /// Null on the CPU.
  std::shared_ptr<Backend> backend;
};

/// A tensor with memory of its own: what goes into a run and what comes out.
struct HostTensor {
  DType dtype = DType::f32;
  Shape shape;
  std::shared_ptr<Buffer> buffer;

  TensorView view() const { return {dtype, shape, buffer->data()}; }
};

/// One run of a plan, filled in by Plan::run.
struct Run {
  std::vector<HostTensor> inputs;
  std::vector<HostTensor> outputs;
  std::shared_ptr<CancelFlag> cancel = std::make_shared<CancelFlag>(false);
  bool profile = false;
  /// Milliseconds of each step, when profile is set.
  std::vector<double> step_milliseconds;
  /// Milliseconds from the submission to the begin, and from there to the end, when profile is set.
  double queued_milliseconds = 0;
  double running_milliseconds = 0;
};

struct PlanStep {
  Node node;
  const KernelRow* kernel = nullptr;
  std::shared_ptr<const void> packed;
  /// Some output's shape is known only when the step runs.
  bool dynamic = false;
  int64_t workspace_offset = 0;
  int64_t workspace_bytes = 0;
  double flops = 0;
  /// Bytes of the inputs and outputs, weights included.
  double bytes = 0;
};

class Plan {
 public:
  /// Throws ERR_UNSUPPORTED where no kernel fits.
  Plan(Graph graph, std::vector<ValueId> outputs, Target target);
  ~Plan();

  /// Runs all steps: on the CPU on the calling thread and the pool, on an accelerator on its stream; returns when the
  /// outputs are in host memory. Runs of one plan follow one another. Throws Error; ERR_ABORTED once *run.cancel is
  /// set.
  void run(Run& run, ThreadPool& pool) const;

  const Graph& graph() const { return graph_; }
  const std::vector<PlanStep>& steps() const { return steps_; }
  int64_t arena_bytes() const { return arena_bytes_; }
  /// Memory of the plan itself, roughly: its steps and values. Constants and packed weights are shared.
  int64_t plan_bytes() const;
  const std::vector<ValueId>& outputs() const { return outputs_; }

 private:
  friend class Execution;
  class BackendState;

  void select_kernels();
  void drop_unused();
  void lay_out();
  void upload_constants();
  void run_on_host(Run& run, ThreadPool& pool) const;
  void run_on_backend(Run& run, ThreadPool& pool) const;

  Graph graph_;
  std::vector<ValueId> outputs_;
  Target target_;
  std::vector<PlanStep> steps_;
  /// Per value: where its memory comes from. Arena offset, or one of the markers below.
  static constexpr int64_t kNoMemory = -1;   // inputs, constants, aliases, unused and dynamic values
  static constexpr int64_t kOwnMemory = -2;  // outputs of the plan
  std::vector<int64_t> offsets_;
  int64_t arena_bytes_ = 0;
  /// On an accelerator, per value: the device's copy of a constant, or null.
  std::vector<std::shared_ptr<const void>> device_constants_;
  std::unique_ptr<BackendState> backend_state_;
};

}  // namespace instaseg
