// cast, variants:
//   simt  16 bytes of the wider type an access (cuda/elementwise.h), every pair of dtypes that the op knows
// f32 to integers gives the same bits as the CPU; so do roundings to f16 and bf16, but for the payload of NaN.
#include "ops/cast.h"

#include "cuda/elementwise.h"
#include "cuda/rows.h"

namespace instaseg::cuda {
namespace {

template <class To>
struct Convert {
  template <class From>
  __device__ To operator()(From x) const {
    if constexpr (std::is_same_v<From, To>) {
      return x;
    } else if constexpr (std::is_integral_v<From>) {
      return from_float<To>(static_cast<float>(x));
    } else if constexpr (std::is_same_v<To, int32_t>) {
      // Comparisons that NaN fails keep from the conversion what it cannot take.
      const bool inside = x > -2147483648.0f && x < 2147483648.0f;
      const int32_t outside = x >= 2147483648.0f ? INT32_MAX : (x <= -2147483648.0f ? INT32_MIN : 0);
      return inside ? static_cast<int32_t>(x) : outside;
    } else if constexpr (std::is_same_v<To, uint8_t>) {
      const float positive = x > 0.0f ? x : 0.0f;
      return static_cast<uint8_t>(static_cast<int32_t>(positive < 255.0f ? positive : 255.0f));
    } else {
      return from_float<To>(to_float(x));
    }
  }
};

template <class From, class To>
void convert(const KernelContext& context) {
  launch_map(context, context.outputs[0].elements(),
             UnaryMap<Convert<To>, To, From>{{}, context.outputs[0].as<To>(), context.inputs[0].as<const From>()});
}

template <class From>
void run_from(const Cast& op, const KernelContext& context) {
  if (op.dtype == DType::f32) return convert<From, float>(context);
  if constexpr (std::is_integral_v<From>) {
    convert<From, From>(context);
  } else {
    if (op.dtype == DType::f16) return convert<From, f16>(context);
    if (op.dtype == DType::bf16) return convert<From, bf16>(context);
    if constexpr (std::is_same_v<From, float>) {
      op.dtype == DType::i32 ? convert<From, int32_t>(context) : convert<From, uint8_t>(context);
    }
  }
}

void run(const Cast& op, const KernelContext& context) {
  const DType from = context.inputs[0].dtype;
  if (from == DType::i32) return run_from<int32_t>(op, context);
  if (from == DType::u8) return run_from<uint8_t>(op, context);
  with_float_type(from, [&]<class From>() { run_from<From>(op, context); });
}

const KernelRegistrations<Cast> simt(kAllTypes, {.variant = "simt", .rank = 10, .run = run});

}  // namespace
}  // namespace instaseg::cuda
