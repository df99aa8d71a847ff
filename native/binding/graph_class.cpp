#include "binding/graph_class.h"

#include "binding/addon_data.h"
#include "binding/constant_class.h"
#include "binding/device_class.h"
#include "binding/plan_class.h"
#include "binding/values.h"

namespace instaseg::binding {

Napi::Function GraphClass::define(Napi::Env env) {
  return DefineClass(
      env, "Graph",
      {InstanceMethod<&GraphClass::input>("input", kMethod), InstanceMethod<&GraphClass::constant>("constant", kMethod),
       InstanceMethod<&GraphClass::node>("node", kMethod), InstanceMethod<&GraphClass::compile>("compile", kMethod)});
}

Napi::Value GraphClass::input(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const TensorSpec spec{.dtype = dtype_from_name(info[0].ToString().Utf8Value()), .shape = to_shape(info[1])};
    return Napi::Number::New(info.Env(), graph_.add_input(spec));
  });
}

Napi::Value GraphClass::constant(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), graph_.add_constant(ConstantClass::from(info[0]).constant()));
  });
}

// node(op, attributes, inputs, label?) -> [{id, dtype, shape}]
Napi::Value GraphClass::node(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string label = info[3].IsString() ? info[3].ToString().Utf8Value() : std::string();
    const std::vector<ValueId> ids =
        graph_.add_node(info[0].ToString().Utf8Value(), to_attributes(info[1]), to_ids(info[2]), label);
    auto outputs = Napi::Array::New(info.Env(), ids.size());
    for (uint32_t i = 0; i < ids.size(); ++i) {
      auto output = Napi::Object::New(info.Env());
      output.Set("id", ids[i]);
      output.Set("dtype", name_of(graph_.spec(ids[i]).dtype));
      output.Set("shape", to_js(info.Env(), graph_.spec(ids[i]).shape));
      outputs.Set(i, output);
    }
    return outputs;
  });
}

// compile(device, outputs, variant?) -> Promise<Plan>. Runs on the device's thread: packing weights takes a while.
Napi::Value GraphClass::compile(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<Device> device = DeviceClass::from(info[0]).device();
    const std::vector<ValueId> outputs = to_ids(info[1]);
    const std::string variant = info[2].IsString() ? info[2].ToString().Utf8Value() : std::string();
    const auto deferred = Napi::Promise::Deferred::New(info.Env());
    const std::shared_ptr<Completions> completions = AddonData::of(info.Env()).completions;
    completions->begin();
    auto plan = std::make_shared<std::shared_ptr<const Plan>>();
    device->submit({.work =
                        [graph = graph_, outputs, plan, device, variant](ThreadPool&) {
                          Target target = device->target();
                          if (!variant.empty()) target.variant = variant;
                          *plan = std::make_shared<Plan>(graph, outputs, target);
                        },
                    .cancel = std::make_shared<CancelFlag>(false),
                    .done =
                        [completions, deferred, plan, device](std::exception_ptr error) {
                          completions->post([completions, deferred, plan, device, error](Napi::Env env) {
                            completions->end();
                            if (error) {
                              deferred.Reject(to_js_error(env, error).Value());
                            } else {
                              deferred.Resolve(PlanClass::create(env, *plan, device));
                            }
                          });
                        }});
    return deferred.Promise();
  });
}

}  // namespace instaseg::binding
