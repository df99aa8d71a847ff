// maxUnpool2d over NHWC as torch.nn.functional.max_unpool2d: every value goes to the position y * W + x of its plane
// that maxPool2d's indices name; the other positions are 0. Where two values name one position the later input position
// (row-major) wins. An index outside the output plane throws ERR_ARGUMENT before anything is written.
#pragma once

#include <vector>

#include "ops/shape_rules.h"

namespace instaseg {

struct MaxUnpool2d {
  Pair kernel;
  Pair stride;
  Pair padding;
  /// [] or [height, width].
  std::vector<int64_t> output_size;

  static constexpr const char* name = "maxUnpool2d";
  static constexpr const char* inputs[] = {"input", "indices"};
  static MaxUnpool2d parse(AttributeReader& reader) {
    MaxUnpool2d op;
    op.kernel = reader.pair("kernel");
    op.stride = reader.pair("stride", op.kernel);
    op.padding = reader.pair("padding", {0, 0});
    op.output_size = reader.has("outputSize") ? reader.integers("outputSize") : std::vector<int64_t>{};
    require_positive(name, "kernel", op.kernel);
    require_positive(name, "stride", op.stride);
    require_not_negative(name, "padding", op.padding);
    require(op.output_size.empty() || op.output_size.size() == 2, ErrorCode::argument, name,
            ": outputSize must be [height, width]; received ", op.output_size.size(), " numbers");
    return op;
  }
  Specs infer(const Specs& in) const {
    require_float(name, "input", in[0]);
    require_rank(name, "input", in[0], 4);
    require_dtype(name, "indices", in[1], DType::i32);
    require_shape(name, "indices", in[1], in[0].shape);
    const Shape& shape = in[0].shape;
    require(shape[1] > 0 && shape[2] > 0, ErrorCode::shape, name, ": height and width must be positive; received ",
            shape);
    return {{.dtype = in[0].dtype,
             .shape = {shape[0], size(0, shape[1], kernel.y, stride.y, padding.y),
                       size(1, shape[2], kernel.x, stride.x, padding.x), shape[3]}}};
  }

 private:
  int64_t size(size_t axis, int64_t input, int64_t k, int64_t s, int64_t p) const {
    const int64_t regular = (input - 1) * s - 2 * p + k;
    if (output_size.empty()) {
      require(regular > 0, ErrorCode::shape, name, ": the output of size ", regular, " would be empty");
      return regular;
    }
    const int64_t asked = output_size[axis];
    require(asked > 0 && asked > regular - s && asked < regular + s, ErrorCode::shape, name,
            ": outputSize must lie between ", regular - s, " and ", regular + s, " (both exclusive); received ", asked);
    return asked;
  }
};
inline const OpRegistration<MaxUnpool2d> max_unpool2d_registration;

}  // namespace instaseg
