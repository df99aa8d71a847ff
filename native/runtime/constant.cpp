#include "runtime/constant.h"

#include <cstring>

namespace instaseg {

Constant::Constant(const std::shared_ptr<HostAllocator>& allocator, DType dtype, const Shape& shape)
    : dtype_(dtype), shape_(shape), buffer_(allocator->allocate(static_cast<size_t>(view().bytes()))) {
  std::memset(buffer_.data(), 0, buffer_.size());
}

void Constant::write(int64_t offset, std::string_view source_dtype, const void* data, size_t bytes) {
  const size_t source_size = checkpoint_dtype_size(source_dtype);
  require(bytes % source_size == 0, ErrorCode::argument, "constant: ", bytes, " bytes are no whole number of ",
          source_dtype, " elements");
  const auto count = static_cast<int64_t>(bytes / source_size);
  require(offset >= 0 && offset <= shape_.elements() && count <= shape_.elements() - offset, ErrorCode::argument,
          "constant: ", count, " elements at ", offset, " do not fit the shape ", shape_);
  const std::lock_guard lock(mutex_);
  require(packed_.empty(), ErrorCode::argument, "constant: a plan already uses these values");
  char* target = static_cast<char*>(buffer_.data()) + offset * static_cast<int64_t>(size_of(dtype_));
  if (dtype_ == DType::f32) {
    widen_to_f32(source_dtype, data, reinterpret_cast<float*>(target), static_cast<size_t>(count));
    return;
  }
  require(source_dtype == name_of(dtype_), ErrorCode::dtype, "constant: cannot write ", source_dtype, " into ",
          name_of(dtype_));
  if (bytes) std::memcpy(target, data, bytes);
}

std::shared_ptr<const void> Constant::packed(const std::string& key,
                                             const std::function<std::shared_ptr<const void>()>& make) {
  const std::lock_guard lock(mutex_);
  auto& slot = packed_[key];
  if (!slot) slot = make();
  return slot;
}

std::shared_ptr<const void> Constant::on(Backend& backend) {
  const TensorView values = view();
  return packed("device " + std::to_string(backend.id()),
                [&] { return backend.keep(values.data, static_cast<size_t>(values.bytes())); });
}

}  // namespace instaseg
