#pragma once

#include <napi.h>

#include <memory>

#include "binding/addon_data.h"

namespace instaseg::binding {

class DeviceClass : public Napi::ObjectWrap<DeviceClass> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit DeviceClass(const Napi::CallbackInfo& info);

  /// Throws ERR_DISPOSED after stop().
  const std::shared_ptr<Device>& device() const;
  static DeviceClass& from(const Napi::Value& value);

 private:
  Napi::Value open(const Napi::CallbackInfo& info);
  Napi::Value get_info(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  void trim(const Napi::CallbackInfo& info);
  void stop(const Napi::CallbackInfo& info);

  std::shared_ptr<Device> device_;
};

}  // namespace instaseg::binding
