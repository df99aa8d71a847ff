// cast, variants:
//   reference  one element at a time
//   baseline   the same conversions over all threads, vectorised for x86-64 (or the target's baseline)
//   avx2       the same, 8 lanes
// All give the same bits.
#include "ops/cast.h"

#include <cstring>
#include <type_traits>

namespace instaseg::cpu {
namespace {

// Memory of one element, told apart from integers.
struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

INSTASEG_INLINE float widen(Half x) { return half_to_float(x.bits); }
INSTASEG_INLINE float widen(BFloat16 x) { return bfloat16_to_float(x.bits); }
template <class T>
INSTASEG_INLINE float widen(T x) {
  return static_cast<float>(x);
}

INSTASEG_INLINE void narrow(float x, float& y) { y = x; }
INSTASEG_INLINE void narrow(float x, Half& y) { y.bits = float_to_half(x); }
INSTASEG_INLINE void narrow(float x, BFloat16& y) { y.bits = float_to_bfloat16(x); }
// Comparisons that NaN fails keep what the conversion cannot take away from it.
INSTASEG_INLINE void narrow(float x, int32_t& y) {
  const bool inside = x > -2147483648.0f && x < 2147483648.0f;
  const int32_t outside = x >= 2147483648.0f ? INT32_MAX : (x <= -2147483648.0f ? INT32_MIN : 0);
  y = inside ? static_cast<int32_t>(x) : outside;
}
INSTASEG_INLINE void narrow(float x, uint8_t& y) {
  const float positive = x > 0.0f ? x : 0.0f;
  y = static_cast<uint8_t>(static_cast<int32_t>(positive < 255.0f ? positive : 255.0f));
}

template <class From, class To>
INSTASEG_INLINE void convert(const void* input, void* output, int64_t begin, int64_t end) {
  const From* __restrict x = static_cast<const From*>(input);
  To* __restrict y = static_cast<To*>(output);
  if constexpr (std::is_same_v<From, To>) {
    if (end > begin) std::memcpy(y + begin, x + begin, static_cast<size_t>(end - begin) * sizeof(To));
  } else {
    for (int64_t i = begin; i < end; ++i) narrow(widen(x[i]), y[i]);
  }
}

using Span = void (*)(const void*, void*, int64_t, int64_t);
template <class From, class To>
struct Baseline {
  static void span(const void* x, void* y, int64_t begin, int64_t end) { convert<From, To>(x, y, begin, end); }
};

#ifdef INSTASEG_X86
template <class From, class To>
struct Avx2 {
  INSTASEG_AVX2 static void span(const void* x, void* y, int64_t begin, int64_t end) {
    convert<From, To>(x, y, begin, end);
  }
};
#endif

// The conversion to a dtype that `infer` accepts.
template <template <class, class> class Level, class From>
Span span_to(DType to) {
  if (to == DType::f32) return Level<From, float>::span;
  if constexpr (std::is_integral_v<From>) {
    return Level<From, From>::span;
  } else {
    if (to == DType::f16) return Level<From, Half>::span;
    if (to == DType::bf16) return Level<From, BFloat16>::span;
    if constexpr (std::is_same_v<From, float>) {
      return to == DType::i32 ? Level<From, int32_t>::span : Level<From, uint8_t>::span;
    }
  }
  fail(ErrorCode::internal, Cast::name, ": no conversion to ", name_of(to));
}
template <template <class, class> class Level>
Span span_of(DType from, DType to) {
  switch (from) {
    case DType::f32:
      return span_to<Level, float>(to);
    case DType::f16:
      return span_to<Level, Half>(to);
    case DType::bf16:
      return span_to<Level, BFloat16>(to);
    case DType::i32:
      return span_to<Level, int32_t>(to);
    case DType::u8:
      return span_to<Level, uint8_t>(to);
  }
  fail(ErrorCode::internal, Cast::name, ": no conversion from ", name_of(from));
}

void reference(const Cast& op, const KernelContext& context) {
  const TensorView& input = context.inputs[0];
  span_of<Baseline>(input.dtype, op.dtype)(input.data, context.outputs[0].data, 0, input.elements());
}

template <template <class, class> class Level>
void parallel(const Cast& op, const KernelContext& context) {
  const TensorView& input = context.inputs[0];
  const Span span = span_of<Level>(input.dtype, op.dtype);
  context.parallel_for(input.elements(), 1 << 15,
                       [&](int64_t begin, int64_t end, int) { span(input.data, context.outputs[0].data, begin, end); });
}

// One row a dtype of the input; the output's is told apart inside.
struct Rows {
  explicit Rows(DType dtype) {
    KernelRegistration<Cast>({.dtype = dtype, .run = reference});
    KernelRegistration<Cast>({.variant = "baseline", .dtype = dtype, .rank = 10, .run = parallel<Baseline>});
#ifdef INSTASEG_X86
    KernelRegistration<Cast>({.variant = "avx2", .dtype = dtype, .isa = Isa::avx2, .rank = 20, .run = parallel<Avx2>});
#endif
  }
};
const Rows rows[] = {Rows(DType::f32), Rows(DType::f16), Rows(DType::bf16), Rows(DType::i32), Rows(DType::u8)};

}  // namespace
}  // namespace instaseg::cpu
