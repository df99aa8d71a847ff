// What one run of a plan needs on any device: memory of every value, and the call of a step's kernel.
#pragma once

#include <functional>
#include <vector>

#include "runtime/plan.h"

namespace instaseg {

class Execution {
 public:
  Execution(const Plan& plan, Run& run, ThreadPool& pool);

  /// Throws ERR_SHAPE unless the run's inputs are what the plan was compiled for.
  void check_inputs() const;
  /// The memory of a value; an alias has its root's.
  TensorView resolve(ValueId id) const;
  /// Calls the kernel of a step.
  void run_step(size_t index, char* workspace, uint64_t* fault = nullptr);
  /// Throws what the fault words of the steps mean, if one is not 0.
  void check_faults(const std::vector<uint64_t>& words) const;
  void check_cancelled() const;

  /// Per value; aliases are left out.
  std::vector<TensorView> views;
  /// Allocates zeroed memory for an output of the plan, sets its view and returns it.
  std::function<void*(ValueId id, const Shape& shape)> own;

 private:
  const Plan& plan_;
  Run& run_;
  ThreadPool& pool_;
  std::vector<TensorView> inputs_;
  std::vector<TensorView> outputs_;
};

/// INSTASEG_POISON=1 fills the arena before every run, so that tests see a kernel that reads what nothing wrote.
bool poison_requested();

}  // namespace instaseg
