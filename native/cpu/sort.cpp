// sort, variants:
//   reference  std::stable_sort with a comparison written out
//   baseline   radix sort of (key, index) pairs, rows over all threads
#include "ops/sort.h"

#include <numeric>

#include "cpu/groups.h"
#include "cpu/order.h"

namespace instaseg::cpu {
namespace {

void reference(const Sort& op, const KernelContext& context) {
  const int64_t columns = context.inputs[0].shape[1];
  for (int64_t row = 0; row < context.inputs[0].shape[0]; ++row) {
    const float* x = context.inputs[0].f32() + row * columns;
    float* values = context.outputs[0].as<float>() + row * columns;
    int32_t* indices = context.outputs[1].as<int32_t>() + row * columns;
    std::iota(indices, indices + columns, 0);
    std::stable_sort(indices, indices + columns, [&](int32_t a, int32_t b) {
      if (x[a] != x[a] || x[b] != x[b]) return x[a] == x[a] && x[b] != x[b];
      return op.descending ? x[a] > x[b] : x[a] < x[b];
    });
    for (int64_t i = 0; i < columns; ++i) values[i] = x[indices[i]];
  }
}

size_t workspace(const Sort&, const Specs& in, const Specs&, int threads) {
  Carver carver(nullptr);
  for (int i = 0; i < 2 * threads; ++i) carver.take<uint64_t>(in[0].shape[1]);
  return carver.used();
}

void baseline(const Sort& op, const KernelContext& context) {
  const int64_t columns = context.inputs[0].shape[1];
  if (columns == 0) return;
  context.parallel_for(context.inputs[0].shape[0], 4096 / columns + 1, [&](int64_t begin, int64_t end, int thread) {
    Carver carver(context.workspace);
    uint64_t* pairs = nullptr;
    uint64_t* scratch = nullptr;
    for (int i = 0; i <= thread; ++i) {
      pairs = carver.take<uint64_t>(columns);
      scratch = carver.take<uint64_t>(columns);
    }
    for (int64_t row = begin; row < end; ++row) {
      const float* x = context.inputs[0].f32() + row * columns;
      float* values = context.outputs[0].as<float>() + row * columns;
      int32_t* indices = context.outputs[1].as<int32_t>() + row * columns;
      for (int64_t i = 0; i < columns; ++i) {
        pairs[i] = order_pair(op.descending ? descending_key(x[i]) : ascending_key(x[i]), i);
      }
      sort_pairs(pairs, scratch, columns);
      for (int64_t i = 0; i < columns; ++i) {
        indices[i] = pair_index(pairs[i]);
        values[i] = x[indices[i]];
      }
    }
  });
}

const KernelRegistration<Sort> reference_row{{.run = reference}};
const KernelRegistration<Sort> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = baseline}};

}  // namespace
}  // namespace instaseg::cpu
