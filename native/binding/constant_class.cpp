#include "binding/constant_class.h"

#include "binding/addon_data.h"
#include "binding/device_class.h"
#include "binding/values.h"

namespace instaseg::binding {

namespace {

// Tells the garbage collector of memory that it does not see. May fail while the environment goes away: no harm.
void account(Napi::Env env, int64_t bytes) {
  int64_t total = 0;
  napi_adjust_external_memory(env, bytes, &total);
}

}  // namespace

Napi::Function ConstantClass::define(Napi::Env env) {
  return DefineClass(env, "Constant",
                     {InstanceMethod<&ConstantClass::write>("write", kMethod),
                      InstanceMethod<&ConstantClass::release>("release", kMethod)});
}

ConstantClass::ConstantClass(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guarded(info.Env(), [&] {
    const std::shared_ptr<Device>& device = DeviceClass::from(info[0]).device();
    const DType dtype = dtype_from_name(info[1].ToString().Utf8Value());
    const Shape shape = to_shape(info[2]);
    require(!shape.dynamic(), ErrorCode::shape, "a constant's shape must be complete; received ", shape);
    constant_ = std::make_shared<Constant>(device->host(), dtype, shape);
    account(info.Env(), constant_->view().bytes());
  });
}

void ConstantClass::Finalize(Napi::Env env) { forget(env); }

void ConstantClass::forget(Napi::Env env) {
  if (!constant_) return;
  account(env, -constant_->view().bytes());
  constant_.reset();
}

const std::shared_ptr<Constant>& ConstantClass::constant() const {
  require(constant_ != nullptr, ErrorCode::disposed, "the weights were disposed");
  return constant_;
}

ConstantClass& ConstantClass::from(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  require(value.IsObject() && object.InstanceOf(AddonData::of(value.Env()).constant_class.Value()), ErrorCode::argument,
          "expected a constant");
  return *Unwrap(object);
}

void ConstantClass::write(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const auto [data, bytes] = to_bytes(info[2]);
    constant()->write(info[0].As<Napi::Number>().Int64Value(), info[1].ToString().Utf8Value(), data, bytes);
  });
}

void ConstantClass::release(const Napi::CallbackInfo& info) { forget(info.Env()); }

}  // namespace instaseg::binding
