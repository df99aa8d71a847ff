// The rows of the registry that conv2d, convTranspose2d and linear have in common, made from what an op says of itself:
//
//   struct Conv2dForm {
//     using Op = Conv2d;
//     static constexpr int kScale, kResidual;          // input slots, -1 where the op has none
//     static Shape nhwc(const Shape& shape);           // of input and output
//     static Convolution convolution(const Op& op, const Shape& weight);
//     static float weight(const Convolution&, const TensorView& weight, group, column, channel, ky, kx);
//   };
#pragma once

#include <string>

#include "cuda/convolution.h"
#include "runtime/registry.h"

namespace instaseg::cuda {

inline const char* name_of(GemmMath math) {
  switch (math) {
    case GemmMath::simt:
      return "simt";
    case GemmMath::mma:
      return "mma";
    case GemmMath::mma_sm75:
      return "mma-sm75";
    case GemmMath::tf32x3:
      return "tf32x3";
    case GemmMath::tf32:
      return "tf32";
    case GemmMath::wgmma:
      return "wgmma";
  }
  return "";
}

/// Groups narrower than this leave most of a tile of tensor cores empty.
inline constexpr int64_t kLeastMmaColumns = 8;

template <class Form>
class ConvRows {
  using Op = typename Form::Op;
  using In = typename Op::Input;

 public:
  template <DType D, GemmMath M>
  static Kernel<Op> gemm(int rank, int compute_capability) {
    return {.variant = name_of(M),
            .device = DeviceKind::cuda,
            .dtype = D,
            .compute_capability = compute_capability,
            .rank = rank,
            .supports = supports_gemm<D, M>,
            .workspace = workspace<D, M>,
            .packed_input = In::kWeight,
            .pack_key = pack_key<D>,
            .pack = pack<D, M>,
            .run = run<D, M>};
  }

  template <DType D>
  static Kernel<Op> depthwise(int rank) {
    return {.variant = "depthwise",
            .device = DeviceKind::cuda,
            .dtype = D,
            .rank = rank,
            .supports = supports_depthwise,
            .packed_input = In::kWeight,
            .pack_key = pack_key<D>,
            .pack = pack_depthwise,
            .run = run_direct};
  }

  static ConvolutionCall call_of(const Op& op, const KernelContext& context) {
    const auto view = [&](int slot) { return slot < 0 ? TensorView{} : context.inputs[slot]; };
    ConvolutionCall call{.input = context.inputs[In::kInput],
                         .output = context.outputs[0],
                         .epilogue = {.scale = view(Form::kScale).f32(),
                                      .bias = context.inputs[In::kBias].f32(),
                                      .residual = view(Form::kResidual).data,
                                      .activation = op.activation},
                         .counts = context.inputs[In::kCounts]};
    call.input.shape = Form::nhwc(call.input.shape);
    call.output.shape = Form::nhwc(call.output.shape);
    return call;
  }

 private:
  static Convolution convolution(const Op& op, const Specs& in) { return Form::convolution(op, in[In::kWeight].shape); }

  static bool fits(const Op& op, const Specs& in) {
    return fits_indices(convolution(op, in), Form::nhwc(in[In::kInput].shape), Form::nhwc(op.infer(in)[0].shape));
  }

  template <DType D, GemmMath M>
  static bool supports_gemm(const Op& op, const Specs& in) {
    const Convolution conv = convolution(op, in);
    if (M != GemmMath::simt && conv.groups > 1 && conv.group_columns < kLeastMmaColumns) return false;
    if (M == GemmMath::wgmma && !aligned_channels(D, Form::nhwc(in[In::kInput].shape)[3], conv.group_channels)) {
      return false;
    }
    return fits(op, in);
  }

  static bool supports_depthwise(const Op& op, const Specs& in) {
    return convolution(op, in).depthwise() && fits(op, in);
  }

  /// `counts`: of the call, or absent.
  template <DType D, GemmMath M>
  static GemmPlan plan(const Convolution& conv, const Shape& x, const Shape& y, bool counted, const Shape& counts) {
    const int64_t images = counted ? y[0] / counts[0] : 0;
    return choose_plan(M, aligned_channels(D, x[3], conv.group_channels), extent_of(conv, D, y, images));
  }

  template <DType D, GemmMath M>
  static size_t workspace(const Op& op, const Specs& in, const Specs& out, int) {
    const TensorSpec& counts = in[In::kCounts];
    const Shape y = Form::nhwc(out[0].shape);
    if (y.elements() == 0) return 0;
    const GemmPlan chosen =
        plan<D, M>(convolution(op, in), Form::nhwc(in[In::kInput].shape), y, !counts.absent, counts.shape);
    return chosen.splits == 1 ? 0 : sizeof(float) * static_cast<size_t>(chosen.splits * y.elements());
  }

  template <DType D, GemmMath M>
  static void run(const Op& op, const KernelContext& context) {
    const ConvolutionCall call = call_of(op, context);
    if (call.output.elements() == 0) return;
    const Convolution conv = Form::convolution(op, context.inputs[In::kWeight].shape);
    const GemmPlan chosen =
        plan<D, M>(conv, call.input.shape, call.output.shape, static_cast<bool>(call.counts), call.counts.shape);
    run_convolution(conv, call, M, chosen, context);
  }

  static void run_direct(const Op& op, const KernelContext& context) {
    const ConvolutionCall call = call_of(op, context);
    if (call.output.elements() == 0) return;
    run_depthwise(Form::convolution(op, context.inputs[In::kWeight].shape), call, context);
  }

  // Everything that the layout of packed weights depends on, beyond the variant and the shape of the weight.
  template <DType D>
  static std::string pack_key(const Op& op, const Specs& in) {
    const Convolution conv = convolution(op, in);
    std::ostringstream key;
    key << instaseg::name_of(D) << ", groups " << conv.groups;
    const auto axis = [&](const std::vector<PhaseAxis>& phases) {
      key << ", phases";
      for (const PhaseAxis& phase : phases) {
        key << ' ' << phase.kernel_first << '+' << phase.taps.count << '*' << phase.kernel_step;
      }
    };
    axis(conv.y);
    axis(conv.x);
    return key.str();
  }

  template <DType D, GemmMath M>
  static std::shared_ptr<const void> pack(const Op& op, const TensorView& weight, const PackContext& context) {
    const Convolution conv = Form::convolution(op, weight.shape);
    const auto value = [&](int64_t group, int64_t column, int64_t channel, int64_t ky, int64_t kx) {
      return Form::weight(conv, weight, group, column, channel, ky, kx);
    };
    return with_float_type(
        D, [&]<class T>() { return upload_packed(context, pack_gemm_weights<T, M == GemmMath::tf32>(conv, value)); });
  }

  static std::shared_ptr<const void> pack_depthwise(const Op& op, const TensorView& weight,
                                                    const PackContext& context) {
    const Convolution conv = Form::convolution(op, weight.shape);
    return upload_packed(context, pack_depthwise_weights(conv, [&](int64_t group, int64_t column, int64_t channel,
                                                                   int64_t ky, int64_t kx) {
                           return Form::weight(conv, weight, group, column, channel, ky, kx);
                         }));
  }
};

/// The rows of matrix products, one for each arithmetic and dtype; `reference` makes the row of the oracle.
template <class Form>
struct ConvRegistrations {
  using Rows = ConvRows<Form>;
  using Registration = KernelRegistration<typename Form::Op>;

  explicit ConvRegistrations(Kernel<typename Form::Op> (*reference)(DType))
      : reference_f32{reference(DType::f32)},
        reference_f16{reference(DType::f16)},
        reference_bf16{reference(DType::bf16)} {}

  Registration reference_f32;
  Registration reference_f16;
  Registration reference_bf16;
  Registration tf32{Rows::template gemm<DType::f32, GemmMath::tf32>(5, 80)};
  Registration simt_f32{Rows::template gemm<DType::f32, GemmMath::simt>(10, 0)};
  Registration simt_f16{Rows::template gemm<DType::f16, GemmMath::simt>(10, 0)};
  Registration simt_bf16{Rows::template gemm<DType::bf16, GemmMath::simt>(10, 0)};
  Registration tf32x3{Rows::template gemm<DType::f32, GemmMath::tf32x3>(20, 80)};
  Registration mma_sm75_f16{Rows::template gemm<DType::f16, GemmMath::mma_sm75>(15, 75)};
  Registration mma_f16{Rows::template gemm<DType::f16, GemmMath::mma>(20, 80)};
  Registration mma_bf16{Rows::template gemm<DType::bf16, GemmMath::mma>(20, 80)};
};

/// wgmma, by name only until it has run on a GPU.
#ifndef INSTASEG_CUDA_EMULATED
template <class Form>
struct WgmmaRegistrations {
  KernelRegistration<typename Form::Op> f16{ConvRows<Form>::template gemm<DType::f16, GemmMath::wgmma>(4, 90)};
  KernelRegistration<typename Form::Op> bf16{ConvRows<Form>::template gemm<DType::bf16, GemmMath::wgmma>(4, 90)};
};
#endif

/// One input channel an output channel.
template <class Form>
struct DepthwiseRegistrations {
  KernelRegistration<typename Form::Op> f32{ConvRows<Form>::template depthwise<DType::f32>(30)};
  KernelRegistration<typename Form::Op> f16{ConvRows<Form>::template depthwise<DType::f16>(30)};
  KernelRegistration<typename Form::Op> bf16{ConvRows<Form>::template depthwise<DType::bf16>(30)};
};

}  // namespace instaseg::cuda
