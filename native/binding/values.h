// Conversions between JavaScript values and the runtime's types.
#pragma once

#include <napi.h>

#include "runtime/attributes.h"
#include "runtime/plan.h"

namespace instaseg::binding {

Shape to_shape(const Napi::Value& value);
Napi::Array to_js(Napi::Env env, const Shape& shape);
AttributeMap to_attributes(const Napi::Value& value);
std::vector<ValueId> to_ids(const Napi::Value& value);
/// Bytes of a typed array (any kind) or a Buffer, right for sub-array views.
std::pair<const void*, size_t> to_bytes(const Napi::Value& value);
/// {dtype, shape, data} with its data copied: the caller may reuse the array at once.
HostTensor to_host_tensor(const Napi::Value& value, const std::shared_ptr<Allocator>& allocator);
/// {dtype, shape, data} in memory of JavaScript's own (external buffers are forbidden in some runtimes).
Napi::Object to_js(Napi::Env env, const HostTensor& tensor);

}  // namespace instaseg::binding
