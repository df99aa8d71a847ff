#pragma once

#include <napi.h>

#include <memory>

#include "runtime/constant.h"

namespace instaseg::binding {

class ConstantClass : public Napi::ObjectWrap<ConstantClass> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ConstantClass(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override;

  /// Throws ERR_DISPOSED after release().
  const std::shared_ptr<Constant>& constant() const;
  static ConstantClass& from(const Napi::Value& value);

 private:
  void write(const Napi::CallbackInfo& info);
  void release(const Napi::CallbackInfo& info);
  void forget(Napi::Env env);

  std::shared_ptr<Constant> constant_;
};

}  // namespace instaseg::binding
