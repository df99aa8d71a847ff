// topK: the k largest values of each row of f32 [R, M], descending: values f32 [R, k'], indices i32 [R, k'] and
// counts i32 [R], with k' = min(k, M) and counts[r] = min(k, valid entries of row r). Equal values: the lower index
// first. NaN comes after every number (PyTorch puts it first).
// Here, unlike in most ops, the input `counts` i32 [R] counts the valid *entries* of each row.
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct TopK {
  static constexpr const char* name = "topK";
  static constexpr const char* inputs[] = {"input", "counts?"};

  int64_t k = 0;

  static TopK parse(AttributeReader& reader) {
    TopK op;
    op.k = reader.integer("k");
    require(op.k >= 0, ErrorCode::argument, name, ": k must not be negative; received ", op.k);
    return op;
  }
  Specs infer(const Specs& in) const {
    require_dtype(name, "input", in[0], DType::f32);
    require_rank(name, "input", in[0], 2);
    const int64_t rows = in[0].shape[0];
    require_index_range(name, "entries of a row", in[0].shape[1]);
    require_image_counts(name, input_or_absent(in, 1), rows);
    const Shape shape{rows, std::min(k, in[0].shape[1])};
    return {{.dtype = DType::f32, .shape = shape},
            {.dtype = DType::i32, .shape = shape},
            {.dtype = DType::i32, .shape = {rows}}};
  }
};
inline const OpRegistration<TopK> top_k_registration;

}  // namespace instaseg
