#include "runtime/plan_execution.h"

#include <cstdlib>

namespace instaseg {

bool poison_requested() {
  static const bool requested = [] {
    const char* value = std::getenv("INSTASEG_POISON");
    return value && *value && *value != '0';
  }();
  return requested;
}

Execution::Execution(const Plan& plan, Run& run, ThreadPool& pool)
    : views(plan.graph_.values().size()), plan_(plan), run_(run), pool_(pool) {}

void Execution::check_inputs() const {
  require(static_cast<int>(run_.inputs.size()) == plan_.graph_.input_count(), ErrorCode::argument, "the plan has ",
          plan_.graph_.input_count(), " inputs; received ", run_.inputs.size());
  for (const Value& value : plan_.graph_.values()) {
    if (value.input < 0) continue;
    const HostTensor& given = run_.inputs[value.input];
    const auto check = [&](bool same, ErrorCode code) {
      require(same, code, "input ", value.input, " of the plan is ", name_of(value.spec.dtype), " ", value.spec.shape,
              "; received ", name_of(given.dtype), " ", given.shape);
    };
    check(given.dtype == value.spec.dtype, ErrorCode::dtype);
    bool same = given.shape.rank() == value.spec.shape.rank();
    for (int axis = 0; same && axis < given.shape.rank(); ++axis) {
      same = value.spec.shape[axis] == kDynamic || value.spec.shape[axis] == given.shape[axis];
    }
    check(same, ErrorCode::shape);
  }
}

TensorView Execution::resolve(ValueId id) const {
  if (id == kAbsent) return {};
  const Value& value = plan_.graph_.values()[id];
  TensorView view = views[value.root];
  if (value.root != id) view.shape = value.spec.shape;
  return view;
}

void Execution::check_cancelled() const {
  require(!run_.cancel->load(std::memory_order_relaxed), ErrorCode::aborted, "the run was aborted");
}

void Execution::run_step(size_t index, char* workspace, uint64_t* fault) {
  const PlanStep& step = plan_.steps_[index];
  inputs_.clear();
  outputs_.clear();
  for (ValueId id : step.node.inputs) inputs_.push_back(resolve(id));
  for (ValueId id : step.node.outputs) {
    const TensorSpec& spec = plan_.graph_.values()[id].spec;
    outputs_.push_back(views[id] ? resolve(id) : TensorView{spec.dtype, spec.shape, nullptr});
  }
  const KernelContext context{
      .inputs = inputs_,
      .outputs = outputs_,
      .pool = pool_,
      .cancel = run_.cancel.get(),
      .workspace = workspace,
      .packed = step.packed.get(),
      .allocate_output = [&](size_t output, const Shape& shape) { return own(step.node.outputs[output], shape); },
      .backend = plan_.target_.backend.get(),
      .fault = fault};
  step.kernel->run(step.node.op.get(), context);
}

void Execution::check_faults(const std::vector<uint64_t>& words) const {
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == 0) continue;
    const PlanStep& step = plan_.steps_[i];
    Specs inputs;
    for (ValueId id : step.node.inputs) {
      inputs.push_back(id == kAbsent ? TensorSpec{.absent = true} : plan_.graph_.values()[id].spec);
      if (id != kAbsent) inputs.back().shape = resolve(id).shape;
    }
    if (step.kernel->explain) step.kernel->explain(step.node.op.get(), inputs, words[i]);
    fail(ErrorCode::internal, step.kernel->op, " left a fault that it does not explain");
  }
}

}  // namespace instaseg
