// A tensor whose values are fixed before plans are compiled (weights), with its packed forms.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "runtime/backend.h"
#include "runtime/tensor.h"

namespace instaseg {

class Constant {
 public:
  Constant(const std::shared_ptr<HostAllocator>& allocator, DType dtype, const Shape& shape);

  TensorView view() const { return {dtype_, shape_, buffer_.data()}; }
  TensorSpec spec() const { return {.dtype = dtype_, .shape = shape_, .constant = true}; }

  /// Writes `bytes` of a checkpoint dtype from element `offset` on, widened where this constant is f32.
  /// Writing after a plan packed the values is an error.
  void write(int64_t offset, std::string_view source_dtype, const void* data, size_t bytes);

  /// The packed form called `key`, made on first use and shared by all plans.
  std::shared_ptr<const void> packed(const std::string& key, const std::function<std::shared_ptr<const void>()>& make);

  /// A copy in the memory of an accelerator, made on first use and shared by all plans.
  std::shared_ptr<const void> on(Backend& backend);

 private:
  DType dtype_;
  Shape shape_;
  Buffer buffer_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const void>> packed_;
};

}  // namespace instaseg
