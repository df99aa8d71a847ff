// yolactBoxes, variants:
//   reference  one coordinate at a time; there are a hundred boxes an image
//   baseline   the same over all threads
#include "ops/yolact_boxes.h"

#include "cpu/rows.h"

namespace instaseg::cpu {
namespace {

void run_rows(const YolactBoxes& op, const KernelContext& context, const ValidRows& rows, int64_t begin, int64_t end) {
  const int64_t capacity = context.inputs[0].shape[1];
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = rows.row(i);
    const float* box = context.inputs[0].f32() + row * 4;
    int32_t* out = context.outputs[0].as<int32_t>() + row * 4;
    for (int axis = 0; axis < 2; ++axis) {
      // Height comes first in sizes, x first in boxes.
      op.place(box[axis], box[2 + axis], context.inputs[1].i32()[row / capacity * 4 + (1 - axis)], out[axis],
               out[2 + axis]);
    }
  }
}

void reference(const YolactBoxes& op, const KernelContext& context) {
  const ValidRows rows(context.inputs[0].elements() / 4, input_or_absent(context, 2));
  run_rows(op, context, rows, 0, rows.total());
}

void baseline(const YolactBoxes& op, const KernelContext& context) {
  const ValidRows rows(context.inputs[0].elements() / 4, input_or_absent(context, 2));
  context.parallel_for(rows.total(), 1024,
                       [&](int64_t begin, int64_t end, int) { run_rows(op, context, rows, begin, end); });
}

const KernelRegistration<YolactBoxes> reference_row{{.run = reference}};
const KernelRegistration<YolactBoxes> baseline_row{{.variant = "baseline", .rank = 10, .run = baseline}};

}  // namespace
}  // namespace instaseg::cpu
