// The spans and weights of all output pixels of an axis (ops/pillow_filter.h), in tables.
#pragma once

#include <vector>

#include "ops/pillow_filter.h"

namespace instaseg::cpu {

class PillowAxis {
 public:
  PillowAxis(int64_t input, int64_t output) {
    const PillowFilter filter(input, output);
    stride_ = filter.longest();
    spans_.reserve(static_cast<size_t>(output));
    weights_.resize(static_cast<size_t>(output * stride_));
    std::vector<double> exact(static_cast<size_t>(stride_));
    for (int64_t i = 0; i < output; ++i) {
      const PillowFilter::Span span = filter.span(i);
      double sum = 0.0;
      for (int64_t k = 0; k < span.count; ++k) {
        exact[static_cast<size_t>(k)] = filter.weight(i, k);
        sum += exact[static_cast<size_t>(k)];
      }
      for (int64_t k = 0; k < span.count; ++k) {
        weights_[static_cast<size_t>(i * stride_ + k)] = PillowFilter::rounded(exact[static_cast<size_t>(k)], sum);
      }
      spans_.push_back(span);
    }
  }
  const PillowFilter::Span& span(int64_t i) const { return spans_[static_cast<size_t>(i)]; }
  /// As many as the span has pixels.
  const int32_t* weights(int64_t i) const { return weights_.data() + i * stride_; }

 private:
  int64_t stride_ = 0;
  std::vector<PillowFilter::Span> spans_;
  std::vector<int32_t> weights_;
};

}  // namespace instaseg::cpu
