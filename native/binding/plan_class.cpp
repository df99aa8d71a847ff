#include "binding/plan_class.h"

#include <chrono>

#include "binding/addon_data.h"
#include "binding/values.h"

namespace instaseg::binding {

Napi::Function PlanClass::define(Napi::Env env) {
  return DefineClass(
      env, "Plan",
      {InstanceMethod<&PlanClass::run>("run", kMethod), InstanceMethod<&PlanClass::describe>("describe", kMethod),
       InstanceMethod<&PlanClass::release>("release", kMethod)});
}

Napi::Object PlanClass::create(Napi::Env env, std::shared_ptr<const Plan> plan, std::shared_ptr<Device> device) {
  Napi::Object object = AddonData::of(env).plan_class.New({});
  PlanClass* self = Unwrap(object);
  self->plan_ = std::move(plan);
  self->device_ = std::move(device);
  return object;
}

const Plan& PlanClass::plan() const {
  require(plan_ != nullptr, ErrorCode::disposed, "the plan was disposed");
  return *plan_;
}

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

/// Whether a row count bounds the step's work below its capacity.
bool is_counted(const Node& node) {
  const std::vector<std::string>& names = node.schema->inputs;
  for (size_t slot = 0; slot < names.size() && slot < node.inputs.size(); ++slot) {
    if (names[slot] == "counts?" && node.inputs[slot] != kAbsent) return true;
  }
  return false;
}

}  // namespace

// run(inputs, profile) -> {promise: Promise<{outputs, profile?: {milliseconds, queued, running}}>, cancel()}: one
// crossing a forward pass.
Napi::Value PlanClass::run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    plan();
    auto run = std::make_shared<Run>();
    const auto inputs = info[0].As<Napi::Array>();
    for (uint32_t i = 0; i < inputs.Length(); ++i) {
      run->inputs.push_back(to_host_tensor(inputs.Get(i), device_->host()));
    }
    run->profile = info[1].ToBoolean();
    const auto deferred = Napi::Promise::Deferred::New(info.Env());
    const std::shared_ptr<Completions> completions = AddonData::of(info.Env()).completions;
    completions->begin();
    device_->submit({.work =
                         [plan = plan_, run, submitted = Clock::now()](ThreadPool& pool) {
                           const auto begun = Clock::now();
                           plan->run(*run, pool);
                           run->inputs.clear();
                           run->queued_milliseconds = milliseconds_between(submitted, begun);
                           run->running_milliseconds = milliseconds_between(begun, Clock::now());
                         },
                     .cancel = run->cancel,
                     .done =
                         [completions, deferred, run, device = device_](std::exception_ptr error) {
                           if (error) {
                             run->inputs.clear();
                             run->outputs.clear();
                           }
                           completions->post([completions, deferred, run, device, error](Napi::Env env) {
                             completions->end();
                             if (error) {
                               deferred.Reject(to_js_error(env, error).Value());
                               return;
                             }
                             auto outputs = Napi::Array::New(env, run->outputs.size());
                             for (uint32_t i = 0; i < run->outputs.size(); ++i) {
                               outputs.Set(i, to_js(env, run->outputs[i]));
                             }
                             run->outputs.clear();
                             auto result = Napi::Object::New(env);
                             result.Set("outputs", outputs);
                             if (run->profile) {
                               auto times = Napi::Array::New(env, run->step_milliseconds.size());
                               for (uint32_t i = 0; i < run->step_milliseconds.size(); ++i) {
                                 times.Set(i, run->step_milliseconds[i]);
                               }
                               auto profile = Napi::Object::New(env);
                               profile.Set("milliseconds", times);
                               profile.Set("queued", run->queued_milliseconds);
                               profile.Set("running", run->running_milliseconds);
                               result.Set("profile", profile);
                             }
                             deferred.Resolve(result);
                           });
                         }});
    auto handle = Napi::Object::New(info.Env());
    handle.Set("promise", deferred.Promise());
    handle.Set("cancel",
               Napi::Function::New(info.Env(), [cancel = run->cancel](const Napi::CallbackInfo&) { *cancel = true; }));
    return handle;
  });
}

// describe() -> {arenaBytes, planBytes, steps: [{op, variant, label?, counted, flops, bytes, output}]}
Napi::Value PlanClass::describe(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto steps = Napi::Array::New(info.Env(), plan().steps().size());
    for (uint32_t i = 0; i < plan().steps().size(); ++i) {
      const PlanStep& step = plan().steps()[i];
      auto object = Napi::Object::New(info.Env());
      object.Set("op", step.kernel->op);
      object.Set("variant", step.kernel->variant);
      if (!step.node.label.empty()) object.Set("label", step.node.label);
      object.Set("counted", is_counted(step.node));
      object.Set("flops", step.flops);
      object.Set("bytes", step.bytes);
      object.Set("output", to_js(info.Env(), plan().graph().spec(step.node.outputs[0]).shape));
      steps.Set(i, object);
    }
    auto result = Napi::Object::New(info.Env());
    result.Set("arenaBytes", static_cast<double>(plan().arena_bytes()));
    result.Set("planBytes", static_cast<double>(plan().plan_bytes()));
    result.Set("steps", steps);
    return result;
  });
}

void PlanClass::release(const Napi::CallbackInfo&) {
  plan_.reset();
  device_.reset();
}

}  // namespace instaseg::binding
