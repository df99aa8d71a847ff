// Typed errors. Native code throws them; the binding turns each into an InstasegError with the same stable code.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace instaseg {

enum class ErrorCode {
  argument,
  shape,
  dtype,
  unsupported,
  device_unavailable,
  out_of_memory,
  gpu_out_of_memory,
  cuda_fatal,
  overloaded,
  aborted,
  disposed,
  image,
  internal,
};

/// The code as TypeScript spells it, for example "ERR_SHAPE".
const char* error_code_name(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

/// Throws Error with the arguments streamed one after the other.
template <class... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(code, message.str());
}

/// Throws unless the condition holds.
template <class... Parts>
void require(bool condition, ErrorCode code, const Parts&... parts) {
  if (!condition) fail(code, parts...);
}

}  // namespace instaseg
