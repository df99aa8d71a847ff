// gatherRows, variants:
//   reference  element by element
//   baseline   rows copied, over all threads
// f32 and i32 are moved as bits.
#include "ops/gather_rows.h"

#include <cstring>

#include "cpu/rows.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  explicit Problem(const KernelContext& context)
      : input(context.inputs[0].as<uint32_t>()),
        indices(context.inputs[1].i32()),
        output(context.outputs[0].as<uint32_t>()),
        shared(context.inputs[0].shape[0] == 1),
        candidates(context.inputs[0].shape[1]),
        kept(context.inputs[1].shape[1]),
        width(context.inputs[0].shape.elements(2, context.inputs[0].shape.rank())),
        rows(context.inputs[1].elements(), input_or_absent(context, 2)) {}

  const uint32_t* source(int64_t row) const {
    const int64_t index = indices[row];
    require(index >= 0 && index < candidates, ErrorCode::argument, GatherRows::name, ": index ", index, " of image ",
            row / kept, " is outside the ", candidates, " rows of the input");
    return input + ((shared ? 0 : row / kept * candidates) + index) * width;
  }

  const uint32_t* input;
  const int32_t* indices;
  uint32_t* output;
  bool shared;
  int64_t candidates;
  int64_t kept;
  int64_t width;
  ValidRows rows;
};

void reference(const GatherRows&, const KernelContext& context) {
  const Problem p(context);
  for (int64_t i = 0; i < p.rows.total(); ++i) {
    const int64_t row = p.rows.row(i);
    const uint32_t* source = p.source(row);
    for (int64_t c = 0; c < p.width; ++c) p.output[row * p.width + c] = source[c];
  }
}

void baseline(const GatherRows&, const KernelContext& context) {
  const Problem p(context);
  context.parallel_for(p.rows.total(), 16384 / (p.width + 8) + 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = p.rows.row(i);
      const uint32_t* source = p.source(row);
      uint32_t* target = p.output + row * p.width;
      if (p.width == 1) {
        *target = *source;
      } else if (p.width == 4) {
        std::memcpy(target, source, 16);
      } else if (p.width > 0) {
        std::memcpy(target, source, static_cast<size_t>(p.width) * 4);
      }
    }
  });
}

const KernelRegistration<GatherRows> reference_row{{.run = reference}};
const KernelRegistration<GatherRows> baseline_row{{.variant = "baseline", .rank = 10, .run = baseline}};
const KernelRegistration<GatherRows> reference_i32_row{{.dtype = DType::i32, .run = reference}};
const KernelRegistration<GatherRows> baseline_i32_row{
    {.variant = "baseline", .dtype = DType::i32, .rank = 10, .run = baseline}};

}  // namespace
}  // namespace instaseg::cpu
