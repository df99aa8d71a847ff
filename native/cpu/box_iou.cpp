// boxIou, variants:
//   reference  one pair at a time
//   baseline   boxes b transposed once, rows of the matrix over all threads, vectorised along b
//   avx2       the same, 8 lanes
#include "ops/box_iou.h"

#include "cpu/groups.h"
#include "ops/decision_math.h"

namespace instaseg::cpu {
namespace {

void reference(const BoxIou&, const KernelContext& context) {
  const Box* a = context.inputs[0].as<Box>();
  const Box* b = context.inputs[1].as<Box>();
  float* y = context.outputs[0].as<float>();
  const int64_t columns = context.inputs[1].shape[0];
  for (int64_t i = 0; i < context.inputs[0].shape[0]; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      y[i * columns + j] = box_iou(a[i], box_area(a[i]), b[j], box_area(b[j]));
    }
  }
}

struct Columns {
  Columns(Carver carver, int64_t count) {
    for (float*& column : data) column = carver.take<float>(count);
  }
  float* data[5];  // x1, y1, x2, y2, area
};

INSTASEG_INLINE void row(const Box& a, const Columns& b, float* y, int64_t count) {
  const float area = box_area(a);
  const float *x1 = b.data[0], *y1 = b.data[1], *x2 = b.data[2], *y2 = b.data[3], *areas = b.data[4];
  for (int64_t j = 0; j < count; ++j) y[j] = box_iou(a, area, {x1[j], y1[j], x2[j], y2[j]}, areas[j]);
}
void row_baseline(const Box& a, const Columns& b, float* y, int64_t count) { row(a, b, y, count); }

size_t workspace(const BoxIou&, const Specs& in, const Specs&, int) {
  Carver carver(nullptr);
  for (int i = 0; i < 5; ++i) carver.take<float>(in[1].shape[0]);
  return carver.used();
}

template <void (*Row)(const Box&, const Columns&, float*, int64_t)>
void parallel(const BoxIou&, const KernelContext& context) {
  const Box* a = context.inputs[0].as<Box>();
  const Box* b = context.inputs[1].as<Box>();
  float* y = context.outputs[0].as<float>();
  const int64_t columns = context.inputs[1].shape[0];
  if (columns == 0) return;
  const Columns transposed(Carver(context.workspace), columns);
  for (int64_t j = 0; j < columns; ++j) {
    transposed.data[0][j] = b[j].x1;
    transposed.data[1][j] = b[j].y1;
    transposed.data[2][j] = b[j].x2;
    transposed.data[3][j] = b[j].y2;
    transposed.data[4][j] = box_area(b[j]);
  }
  context.parallel_for(context.inputs[0].shape[0], 16384 / columns + 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) Row(a[i], transposed, y + i * columns, columns);
  });
}

const KernelRegistration<BoxIou> reference_row{{.run = reference}};
const KernelRegistration<BoxIou> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = parallel<row_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void row_avx2(const Box& a, const Columns& b, float* y, int64_t count) { row(a, b, y, count); }
const KernelRegistration<BoxIou> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .workspace = workspace, .run = parallel<row_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
