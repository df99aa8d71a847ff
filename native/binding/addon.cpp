// The addon's exports. This folder is the only one that includes Node-API.
#include <napi.h>

#include "binding/addon_data.h"
#include "binding/constant_class.h"
#include "binding/device_class.h"
#include "binding/graph_class.h"
#include "binding/plan_class.h"

namespace instaseg::binding {

namespace {

Napi::Value cpu_info(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto result = Napi::Object::New(info.Env());
    result.Set("isa", name_of(available_isa()));
    result.Set("threads", default_thread_count());
    return result;
  });
}

Napi::Value kernels(const Napi::CallbackInfo& info) {
  const auto& rows = Registry::instance().kernels();
  auto result = Napi::Array::New(info.Env(), rows.size());
  for (uint32_t i = 0; i < rows.size(); ++i) {
    auto row = Napi::Object::New(info.Env());
    row.Set("op", rows[i].op);
    row.Set("device", rows[i].device == DeviceKind::cpu ? "cpu" : "cuda");
    row.Set("dtype", name_of(rows[i].dtype));
    row.Set("variant", rows[i].variant);
    row.Set("isa", name_of(rows[i].isa));
    row.Set("computeCapability", rows[i].compute_capability);
    row.Set("rank", rows[i].rank);
    result.Set(i, row);
  }
  return result;
}

// accelerator() -> null, or {name, description, reason?, devices: [{index, name, uuid, computeCapability, memory,
// l2Cache, reason?}]}
Napi::Value accelerator_info(const Napi::CallbackInfo& info) {
  const BackendKind* kind = accelerator();
  if (!kind) return info.Env().Null();
  std::string reason;
  const std::vector<BackendDevice> devices = kind->list(reason);
  auto result = Napi::Object::New(info.Env());
  result.Set("name", kind->name);
  result.Set("description", kind->describe());
  if (!reason.empty()) result.Set("reason", reason);
  auto list = Napi::Array::New(info.Env(), devices.size());
  for (uint32_t i = 0; i < devices.size(); ++i) {
    auto device = Napi::Object::New(info.Env());
    device.Set("index", devices[i].index);
    device.Set("name", devices[i].name);
    device.Set("uuid", devices[i].uuid);
    device.Set("computeCapability", devices[i].compute_capability);
    device.Set("memory", static_cast<double>(devices[i].memory_bytes));
    device.Set("l2Cache", static_cast<double>(devices[i].l2_bytes));
    if (!devices[i].reason.empty()) device.Set("reason", devices[i].reason);
    list.Set(i, device);
  }
  result.Set("devices", list);
  return result;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData(env);
  env.SetInstanceData(data);
  const auto export_class = [&](const char* name, Napi::FunctionReference& reference, Napi::Function constructor) {
    reference = Napi::Persistent(constructor);
    exports.Set(name, constructor);
  };
  export_class("Device", data->device_class, DeviceClass::define(env));
  export_class("Constant", data->constant_class, ConstantClass::define(env));
  export_class("Graph", data->graph_class, GraphClass::define(env));
  export_class("Plan", data->plan_class, PlanClass::define(env));
  exports.Set("version", INSTASEG_VERSION);
  exports.Set("cpuInfo", Napi::Function::New<cpu_info>(env));
  exports.Set("accelerator", Napi::Function::New<accelerator_info>(env));
  exports.Set("kernels", Napi::Function::New<kernels>(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(instaseg, init)

}  // namespace instaseg::binding
