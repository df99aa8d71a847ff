#include "binding/values.h"

#include <cstring>

namespace instaseg::binding {

Shape to_shape(const Napi::Value& value) {
  require(value.IsArray(), ErrorCode::argument, "shape must be an array of numbers");
  const auto array = value.As<Napi::Array>();
  Shape shape;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    require(item.IsNumber(), ErrorCode::argument, "shape must be an array of numbers");
    const double dim = item.As<Napi::Number>().DoubleValue();
    require(dim >= -1 && dim <= 9007199254740991.0 && dim == std::trunc(dim), ErrorCode::shape,
            "a dimension must be an integer that is not negative; received ", dim);
    shape.append(static_cast<int64_t>(dim));
  }
  return shape;
}

Napi::Array to_js(Napi::Env env, const Shape& shape) {
  auto array = Napi::Array::New(env, shape.rank());
  for (int axis = 0; axis < shape.rank(); ++axis) array.Set(axis, static_cast<double>(shape[axis]));
  return array;
}

AttributeMap to_attributes(const Napi::Value& value) {
  AttributeMap result;
  if (value.IsUndefined()) return result;
  require(value.IsObject(), ErrorCode::argument, "attributes must be an object");
  const auto object = value.As<Napi::Object>();
  const Napi::Array names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).ToString();
    const Napi::Value item = object.Get(name);
    if (item.IsUndefined()) continue;
    if (item.IsBoolean()) {
      result[name] = item.As<Napi::Boolean>().Value() ? 1.0 : 0.0;
    } else if (item.IsNumber()) {
      result[name] = item.As<Napi::Number>().DoubleValue();
    } else if (item.IsString()) {
      result[name] = item.As<Napi::String>().Utf8Value();
    } else if (item.IsArray()) {
      const auto array = item.As<Napi::Array>();
      std::vector<double> numbers;
      for (uint32_t k = 0; k < array.Length(); ++k) {
        const Napi::Value number = array.Get(k);
        require(number.IsNumber(), ErrorCode::argument, "attribute \"", name, "\" must hold numbers");
        numbers.push_back(number.As<Napi::Number>().DoubleValue());
      }
      result[name] = std::move(numbers);
    } else {
      fail(ErrorCode::argument, "attribute \"", name, "\" must be a number, boolean, string or array of numbers");
    }
  }
  return result;
}

std::vector<ValueId> to_ids(const Napi::Value& value) {
  require(value.IsArray(), ErrorCode::argument, "expected an array of value ids");
  const auto array = value.As<Napi::Array>();
  std::vector<ValueId> ids;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    require(item.IsNumber(), ErrorCode::argument, "expected an array of value ids");
    ids.push_back(item.As<Napi::Number>().Int32Value());
  }
  return ids;
}

std::pair<const void*, size_t> to_bytes(const Napi::Value& value) {
  require(value.IsTypedArray(), ErrorCode::argument, "data must be a typed array");
  // As<Uint8Array> would refuse other kinds; the view's own buffer, offset and length are what counts.
  const auto array = value.As<Napi::TypedArray>();
  const char* data = static_cast<const char*>(array.ArrayBuffer().Data());
  return {data + array.ByteOffset(), array.ByteLength()};
}

HostTensor to_host_tensor(const Napi::Value& value, const std::shared_ptr<Allocator>& allocator) {
  require(value.IsObject(), ErrorCode::argument, "an input must be {dtype, shape, data}");
  const auto object = value.As<Napi::Object>();
  HostTensor tensor{dtype_from_name(object.Get("dtype").ToString().Utf8Value()), to_shape(object.Get("shape")),
                    nullptr};
  require(!tensor.shape.dynamic(), ErrorCode::shape, "an input's shape must be complete; received ", tensor.shape);
  const auto [data, bytes] = to_bytes(object.Get("data"));
  const size_t expected = static_cast<size_t>(tensor.shape.elements()) * size_of(tensor.dtype);
  require(bytes == expected, ErrorCode::shape, "data has ", bytes, " bytes; ", name_of(tensor.dtype), " ", tensor.shape,
          " needs ", expected);
  tensor.buffer = std::make_shared<Buffer>(allocator->allocate(bytes));
  if (bytes) std::memcpy(tensor.buffer->data(), data, bytes);
  return tensor;
}

Napi::Object to_js(Napi::Env env, const HostTensor& tensor) {
  const size_t bytes = tensor.buffer->size();
  auto buffer = Napi::ArrayBuffer::New(env, bytes);
  if (bytes) std::memcpy(buffer.Data(), tensor.buffer->data(), bytes);
  const size_t count = bytes / size_of(tensor.dtype);
  auto result = Napi::Object::New(env);
  result.Set("dtype", name_of(tensor.dtype));
  result.Set("shape", to_js(env, tensor.shape));
  switch (tensor.dtype) {
    case DType::f32:
      result.Set("data", Napi::Float32Array::New(env, count, buffer, 0));
      break;
    case DType::i32:
      result.Set("data", Napi::Int32Array::New(env, count, buffer, 0));
      break;
    case DType::u8:
      result.Set("data", Napi::Uint8Array::New(env, count, buffer, 0));
      break;
    case DType::f16:
    case DType::bf16:
      result.Set("data", Napi::Uint16Array::New(env, count, buffer, 0));
      break;
  }
  return result;
}

}  // namespace instaseg::binding
