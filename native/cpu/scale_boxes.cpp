// scaleBoxes, variants:
//   reference  one coordinate at a time
//   baseline   the same loop over all threads, vectorised
//   avx2       the same, 8 lanes
#include "ops/scale_boxes.h"

#include "cpu/groups.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  explicit Problem(const KernelContext& context)
      : rows(box_rows(ScaleBoxes::name, {.shape = context.inputs[0].shape},
                      {.dtype = DType::i32, .shape = context.inputs[1].shape})),
        counts(rows.rows, input_or_absent(context, 2)),
        sizes(context.inputs[1].i32()),
        input(context.inputs[0].f32()),
        output(context.outputs[0].as<float>()) {}
  /// Axis 0 is y, 1 is x.
  float ratio(int64_t image, int axis) const {
    return static_cast<float>(sizes[image * 4 + axis]) / static_cast<float>(sizes[image * 4 + 2 + axis]);
  }

  BoxRows rows;
  ImageCounts counts;
  const int32_t* sizes;
  const float* input;
  float* output;
};

void reference(const ScaleBoxes&, const KernelContext& context) {
  const Problem p(context);
  for (int64_t image = 0; image < p.rows.images; ++image) {
    for (int64_t i = 0; i < p.counts[image] * p.rows.boxes; ++i) {
      const int64_t at = (image * p.rows.rows * p.rows.boxes + i) * 4;
      for (int c = 0; c < 4; ++c) p.output[at + c] = p.input[at + c] * p.ratio(image, c % 2 ? 0 : 1);
    }
  }
}

INSTASEG_INLINE void span(const float* in, float* out, int64_t count, float x, float y) {
  for (int64_t i = 0; i < count; ++i) {
    out[i * 4 + 0] = in[i * 4 + 0] * x;
    out[i * 4 + 1] = in[i * 4 + 1] * y;
    out[i * 4 + 2] = in[i * 4 + 2] * x;
    out[i * 4 + 3] = in[i * 4 + 3] * y;
  }
}
void span_baseline(const float* in, float* out, int64_t count, float x, float y) { span(in, out, count, x, y); }

template <void (*Span)(const float*, float*, int64_t, float, float)>
void parallel(const ScaleBoxes&, const KernelContext& context) {
  const Problem p(context);
  const int64_t stride = p.rows.rows * p.rows.boxes;
  for (int64_t image = 0; image < p.rows.images; ++image) {
    const float* in = p.input + image * stride * 4;
    float* out = p.output + image * stride * 4;
    context.parallel_for(p.counts[image] * p.rows.boxes, 1 << 14, [&](int64_t begin, int64_t end, int) {
      Span(in + begin * 4, out + begin * 4, end - begin, p.ratio(image, 1), p.ratio(image, 0));
    });
  }
}

const KernelRegistration<ScaleBoxes> reference_row{{.run = reference}};
const KernelRegistration<ScaleBoxes> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel<span_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void span_avx2(const float* in, float* out, int64_t count, float x, float y) {
  span(in, out, count, x, y);
}
const KernelRegistration<ScaleBoxes> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<span_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
