// clipBoxes, variants:
//   reference  one coordinate at a time
//   baseline   the same loop over all threads, vectorised
//   avx2       the same, 8 lanes
#include "ops/clip_boxes.h"

#include "cpu/groups.h"
#include "ops/decision_math.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  Problem(const ClipBoxes& op, const KernelContext& context) : op(op) {
    const TensorView sizes_view = input_or_absent(context, 1);
    TensorSpec sizes_spec{.dtype = sizes_view.dtype, .shape = sizes_view.shape, .absent = !sizes_view};
    rows = box_rows(ClipBoxes::name, {.shape = context.inputs[0].shape}, sizes_spec);
    counts = input_or_absent(context, 2);
    sizes = sizes_view ? sizes_view.i32() : nullptr;
    input = context.inputs[0].f32();
    output = context.outputs[0].as<float>();
  }
  float height(int64_t image) const { return limit(image, 0, op.size.y); }
  float width(int64_t image) const { return limit(image, 1, op.size.x); }

  const ClipBoxes& op;
  BoxRows rows;
  TensorView counts;
  const int32_t* sizes;
  const float* input;
  float* output;

 private:
  float limit(int64_t image, int axis, int64_t fixed) const {
    return static_cast<float>(sizes ? sizes[image * 4 + (op.original ? 0 : 2) + axis] : fixed);
  }
};

INSTASEG_INLINE void span(const float* in, float* out, int64_t count, float width, float height) {
  for (int64_t i = 0; i < count; ++i) {
    out[i * 4 + 0] = clip_coordinate(in[i * 4 + 0], width);
    out[i * 4 + 1] = clip_coordinate(in[i * 4 + 1], height);
    out[i * 4 + 2] = clip_coordinate(in[i * 4 + 2], width);
    out[i * 4 + 3] = clip_coordinate(in[i * 4 + 3], height);
  }
}
void span_baseline(const float* in, float* out, int64_t count, float width, float height) {
  span(in, out, count, width, height);
}

void reference(const ClipBoxes& op, const KernelContext& context) {
  const Problem p(op, context);
  const ImageCounts counts(p.rows.rows, p.counts);
  for (int64_t image = 0; image < p.rows.images; ++image) {
    for (int64_t i = 0; i < counts[image] * p.rows.boxes; ++i) {
      const int64_t at = (image * p.rows.rows * p.rows.boxes + i) * 4;
      for (int c = 0; c < 4; ++c)
        p.output[at + c] = clip_coordinate(p.input[at + c], c % 2 ? p.height(image) : p.width(image));
    }
  }
}

template <void (*Span)(const float*, float*, int64_t, float, float)>
void parallel(const ClipBoxes& op, const KernelContext& context) {
  const Problem p(op, context);
  const ImageCounts counts(p.rows.rows, p.counts);
  const int64_t stride = p.rows.rows * p.rows.boxes;
  for (int64_t image = 0; image < p.rows.images; ++image) {
    const float* in = p.input + image * stride * 4;
    float* out = p.output + image * stride * 4;
    context.parallel_for(counts[image] * p.rows.boxes, 1 << 14, [&](int64_t begin, int64_t end, int) {
      Span(in + begin * 4, out + begin * 4, end - begin, p.width(image), p.height(image));
    });
  }
}

const KernelRegistration<ClipBoxes> reference_row{{.run = reference}};
const KernelRegistration<ClipBoxes> baseline_row{{.variant = "baseline", .rank = 10, .run = parallel<span_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void span_avx2(const float* in, float* out, int64_t count, float width, float height) {
  span(in, out, count, width, height);
}
const KernelRegistration<ClipBoxes> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .run = parallel<span_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
