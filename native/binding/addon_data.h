// What one JavaScript environment (main thread or worker) owns of the addon. Nothing here is global to the process.
#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <memory>
#include <set>

#include "runtime/device.h"

namespace instaseg::binding {

/// Carries completions from device threads to the environment's own thread.
class Completions {
 public:
  explicit Completions(Napi::Env env);

  /// The process stays alive while something was begun and not ended. Both on the environment's thread.
  void begin();
  void end();
  /// From any thread: calls `action` on the environment's thread, or drops it when the environment is going away.
  void post(std::function<void(Napi::Env)> action);

 private:
  napi_env env_;
  napi_threadsafe_function function_ = nullptr;
  int in_flight_ = 0;
};

struct AddonData {
  explicit AddonData(Napi::Env env);

  Napi::FunctionReference device_class;
  Napi::FunctionReference constant_class;
  Napi::FunctionReference graph_class;
  Napi::FunctionReference plan_class;
  std::shared_ptr<Completions> completions;
  /// Alive ones, to be stopped before the environment goes away.
  std::set<std::shared_ptr<Device>> devices;

  static AddonData& of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }
};

/// Methods are replaceable, as those of JavaScript classes are; a test counts the calls that way.
inline constexpr napi_property_attributes kMethod = napi_default_method;

/// A JavaScript Error with the `code` property that InstasegError carries.
Napi::Error to_js_error(Napi::Env env, std::exception_ptr error);

/// Runs `body`, turning native exceptions into JavaScript ones.
template <class Body>
auto guarded(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js_error(env, std::current_exception());
  }
}

}  // namespace instaseg::binding
