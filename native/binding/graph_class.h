#pragma once

#include <napi.h>

#include "runtime/graph.h"

namespace instaseg::binding {

class GraphClass : public Napi::ObjectWrap<GraphClass> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit GraphClass(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

 private:
  Napi::Value input(const Napi::CallbackInfo& info);
  Napi::Value constant(const Napi::CallbackInfo& info);
  Napi::Value node(const Napi::CallbackInfo& info);
  Napi::Value compile(const Napi::CallbackInfo& info);

  Graph graph_;
};

}  // namespace instaseg::binding
