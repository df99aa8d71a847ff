// sort: each row of f32 [R, M], stable: values f32 [R, M] and indices i32 [R, M]. NaN comes last in both directions
// (PyTorch puts it first when descending).
#pragma once

#include "ops/box_rules.h"

namespace instaseg {

struct Sort {
  static constexpr const char* name = "sort";
  static constexpr const char* inputs[] = {"input"};

  bool descending = false;

  static Sort parse(AttributeReader& reader) { return {.descending = reader.flag("descending")}; }
  Specs infer(const Specs& in) const {
    require_dtype(name, "input", in[0], DType::f32);
    require_rank(name, "input", in[0], 2);
    require_index_range(name, "entries of a row", in[0].shape[1]);
    return {{.dtype = DType::f32, .shape = in[0].shape}, {.dtype = DType::i32, .shape = in[0].shape}};
  }
};
inline const OpRegistration<Sort> sort_registration;

}  // namespace instaseg
