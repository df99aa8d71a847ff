// What a plan keeps on an accelerator between its runs: addresses, and the recording of its steps.
#pragma once

#include "runtime/plan_execution.h"

namespace instaseg {

class Plan::BackendState {
 public:
  explicit BackendState(const Plan& plan);

  /// Finds a place for everything in the device's scratch memory; drops the recording when the memory has moved.
  void place();

  /// Per value: address of inputs, intermediates and outputs of static shape.
  std::vector<char*> addresses;
  /// Per step.
  std::vector<char*> workspaces;
  /// A word of device memory a step (KernelContext::fault).
  uint64_t* faults = nullptr;
  /// Steps [recorded_begin, recorded_end) have static shapes and are recorded. Those before read inputs whose size, and
  /// with it their place, changes from run to run; those after have outputs of dynamic shape, or follow one.
  size_t recorded_begin = 0;
  size_t recorded_end = 0;
  int runs = 0;
  std::unique_ptr<Recording> recording;
  /// Fills what a run's arena holds, for poison_requested().
  void poison() const;

 private:
  const Plan& plan_;
  Backend& backend_;
  int64_t bytes_ = 0;
  /// Per value: place of plan inputs and outputs behind the arena, or -1.
  std::vector<int64_t> io_offsets_;
  int64_t faults_offset_ = 0;
  uint64_t generation_ = 0;
  char* base_ = nullptr;
  std::vector<Buffer> blocks_;
};

}  // namespace instaseg
