// benchmarkCopy: the input, copied as fast as memory allows. Not part of any network; `instaseg bench` measures the
// bandwidth of memory with it, and puts caches into a known state.
//
// input f32, any shape -> the same.
#pragma once

#include "ops/shape_rules.h"

namespace instaseg {

struct BenchmarkCopy {
  static constexpr const char* name = "benchmarkCopy";
  static constexpr const char* inputs[] = {"input"};

  static BenchmarkCopy parse(AttributeReader&) { return {}; }
  Specs infer(const Specs& in) const {
    require_dtype(name, "input", in[0], DType::f32);
    return {{.dtype = DType::f32, .shape = in[0].shape}};
  }
};
inline const OpRegistration<BenchmarkCopy> benchmark_copy_registration;

}  // namespace instaseg
