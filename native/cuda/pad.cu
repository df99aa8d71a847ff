// pad, variants:
//   simt  every unit of the output (up to 16 bytes) fetches its place in the input or takes the constant; bits are
//   moved
#include "ops/pad.h"

#include <bit>

#include "cuda/rows.h"
#include "cuda/window_copy.h"

namespace instaseg::cuda {
namespace {

uint32_t bits_of_value(DType dtype, double value) {
  const float rounded = static_cast<float>(value);
  switch (dtype) {
    case DType::f32:
      return std::bit_cast<uint32_t>(rounded);
    case DType::f16:
      return float_to_half(rounded);
    case DType::bf16:
      return float_to_bfloat16(rounded);
    case DType::i32:
      return static_cast<uint32_t>(static_cast<int32_t>(value));
    case DType::u8:
      return static_cast<uint8_t>(value);
  }
  fail(ErrorCode::internal, Pad::name, ": a dtype without bits");
}

void run(const Pad& op, const KernelContext& context) {
  int64_t shift[kMaxRank] = {};
  for (size_t axis = 0; axis < op.before.size(); ++axis) shift[axis] = -op.before[axis];
  launch_window_copy(context, shift, bits_of_value(context.outputs[0].dtype, op.value));
}

const KernelRegistrations<Pad> simt(kAllTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
