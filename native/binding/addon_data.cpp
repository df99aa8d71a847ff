#include "binding/addon_data.h"

#include <new>

namespace instaseg::binding {

namespace {

using Action = std::function<void(Napi::Env)>;

void call_action(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Action> action(static_cast<Action*>(data));
  if (!env) return;  // the environment is going away: the action's memory is all there is to free
  const Napi::HandleScope scope(env);
  try {
    (*action)(env);
  } catch (const Napi::Error&) {
    // A worker that is being terminated runs no JavaScript any more; nobody awaits the result.
  }
}

// Device threads must be gone before the environment is: they post to it, and its end may unload the addon.
void stop_devices(void* data) {
  auto* addon = static_cast<AddonData*>(data);
  for (const auto& device : addon->devices) device->stop();
  addon->devices.clear();
}

}  // namespace

Completions::Completions(Napi::Env env) : env_(env) {
  const auto name = Napi::String::New(env, "instaseg");
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, call_action,
                                  &function_);
  napi_unref_threadsafe_function(env, function_);
}

void Completions::begin() {
  if (in_flight_++ == 0) napi_ref_threadsafe_function(env_, function_);
}

void Completions::end() {
  if (--in_flight_ == 0) napi_unref_threadsafe_function(env_, function_);
}

void Completions::post(Action action) {
  auto* data = new Action(std::move(action));
  if (napi_call_threadsafe_function(function_, data, napi_tsfn_nonblocking) != napi_ok) delete data;
}

AddonData::AddonData(Napi::Env env) : completions(std::make_shared<Completions>(env)) {
  // Hooks run last in, first out: this one before the threadsafe function's own.
  napi_add_env_cleanup_hook(env, stop_devices, this);
}

Napi::Error to_js_error(Napi::Env env, std::exception_ptr error) {
  const auto make = [&](const char* code, const char* message) {
    Napi::Error result = Napi::Error::New(env, message);
    result.Value().Set("code", Napi::String::New(env, code));
    return result;
  };
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return make(error_code_name(e.code()), e.what());
  } catch (const std::bad_alloc&) {
    return make("ERR_OUT_OF_MEMORY", "the system has no memory left");
  } catch (const std::exception& e) {
    return make("ERR_INTERNAL", e.what());
  } catch (...) {
    return make("ERR_INTERNAL", "unknown native error");
  }
}

}  // namespace instaseg::binding
