#pragma once

#include <napi.h>

#include <memory>

#include "runtime/device.h"

namespace instaseg::binding {

class PlanClass : public Napi::ObjectWrap<PlanClass> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object create(Napi::Env env, std::shared_ptr<const Plan> plan, std::shared_ptr<Device> device);
  explicit PlanClass(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

 private:
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value describe(const Napi::CallbackInfo& info);
  void release(const Napi::CallbackInfo& info);
  const Plan& plan() const;

  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<Device> device_;
};

}  // namespace instaseg::binding
