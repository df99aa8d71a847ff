#include "binding/device_class.h"

namespace instaseg::binding {

Napi::Function DeviceClass::define(Napi::Env env) {
  return DefineClass(
      env, "Device",
      {InstanceMethod<&DeviceClass::open>("open", kMethod), InstanceMethod<&DeviceClass::get_info>("info", kMethod),
       InstanceMethod<&DeviceClass::memory>("memory", kMethod), InstanceMethod<&DeviceClass::trim>("trim", kMethod),
       InstanceMethod<&DeviceClass::stop>("stop", kMethod)});
}

DeviceClass::DeviceClass(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guarded(info.Env(), [&] {
    const auto options = info[0].As<Napi::Object>();
    DeviceOptions native;
    const std::string kind = options.Get("kind").ToString();
    native.kind = kind == "cpu" ? DeviceKind::cpu : DeviceKind::cuda;
    if (const Napi::Value index = options.Get("index"); index.IsNumber()) {
      native.index = index.As<Napi::Number>().Int32Value();
    }
    if (const Napi::Value threads = options.Get("threads"); threads.IsNumber()) {
      native.threads = threads.As<Napi::Number>().Int32Value();
    }
    if (const Napi::Value isa = options.Get("isa"); isa.IsString())
      native.isa = isa_from_name(isa.ToString().Utf8Value());
    if (const Napi::Value variant = options.Get("variant"); variant.IsString()) native.variant = variant.ToString();
    if (const Napi::Value limit = options.Get("memoryLimit"); limit.IsNumber()) {
      native.memory_limit = limit.As<Napi::Number>().Int64Value();
    }
    device_ = std::make_shared<Device>(native);
    AddonData::of(info.Env()).devices.insert(device_);
  });
}

const std::shared_ptr<Device>& DeviceClass::device() const {
  require(device_ != nullptr, ErrorCode::disposed, "the device was disposed");
  return device_;
}

DeviceClass& DeviceClass::from(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  require(value.IsObject() && object.InstanceOf(AddonData::of(value.Env()).device_class.Value()), ErrorCode::argument,
          "expected a device");
  return *Unwrap(object);
}

// open() -> Promise. Creating a context on an accelerator takes a while, so the device's thread does it.
Napi::Value DeviceClass::open(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto deferred = Napi::Promise::Deferred::New(info.Env());
    const std::shared_ptr<Completions> completions = AddonData::of(info.Env()).completions;
    completions->begin();
    device()->submit({.work = [device = device_](ThreadPool&) { device->open(); },
                      .cancel = std::make_shared<CancelFlag>(false),
                      .done =
                          [completions, deferred](std::exception_ptr error) {
                            completions->post([completions, deferred, error](Napi::Env env) {
                              completions->end();
                              if (error) {
                                deferred.Reject(to_js_error(env, error).Value());
                              } else {
                                deferred.Resolve(env.Undefined());
                              }
                            });
                          }});
    return deferred.Promise();
  });
}

Napi::Value DeviceClass::get_info(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto result = Napi::Object::New(info.Env());
    result.Set("threads", device()->threads());
    result.Set("isa", name_of(device()->isa()));
    return result;
  });
}

Napi::Value DeviceClass::memory(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const MemoryStats stats = device()->memory()->stats();
    auto result = Napi::Object::New(info.Env());
    result.Set("inUse", static_cast<double>(stats.in_use));
    result.Set("cached", static_cast<double>(stats.cached));
    result.Set("peak", static_cast<double>(stats.peak));
    return result;
  });
}

void DeviceClass::trim(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { device()->trim(); });
}

void DeviceClass::stop(const Napi::CallbackInfo& info) {
  if (!device_) return;
  device_->stop();
  AddonData::of(info.Env()).devices.erase(device_);
  device_->trim();
  device_.reset();
}

}  // namespace instaseg::binding
