// Whether any box of a list overlaps a given box too much (nms, fastNms), 8 boxes at a time. Every f32 operation is
// that of the definition, so the answer is too.
#pragma once

#include <cmath>
#include <cstdint>

#include "ops/suppression_rules.h"
#include "runtime/isa.h"

#ifdef INSTASEG_X86
#include <immintrin.h>
#endif

namespace instaseg::cpu {

inline constexpr int64_t kSuppressionLanes = 8;

/// Boxes by coordinate; each array has room for a multiple of 8. The lanes after the last box intersect nothing.
struct BoxList {
  float *x1, *y1, *x2, *y2, *area;

  void add(int64_t at, const Box& box, float box_area) const {
    if (at % kSuppressionLanes == 0) {
      for (int64_t lane = at; lane < at + kSuppressionLanes; ++lane) {
        x1[lane] = y1[lane] = INFINITY;
        x2[lane] = y2[lane] = -INFINITY;
        area[lane] = 0;
      }
    }
    x1[at] = box.x1;
    y1[at] = box.y1;
    x2[at] = box.x2;
    y2[at] = box.y2;
    area[at] = box_area;
  }
};

/// Whether any of the first `count` boxes of the list suppresses the box, for a threshold of at least 0. Where no lane
/// intersects, every IoU is 0, -0 or NaN, and the division can be left out.
template <class Rule>
INSTASEG_INLINE bool any_suppresses(const BoxList& list, int64_t count, const Box& box, float area, float threshold) {
  for (int64_t at = 0; at < count; at += kSuppressionLanes) {
    float intersection[kSuppressionLanes];
    int any = 0;
    for (int64_t lane = 0; lane < kSuppressionLanes; ++lane) {
      const int64_t i = at + lane;
      const float w = greater(Rule::side(lesser(list.x2[i], box.x2) - greater(list.x1[i], box.x1)), 0.0f);
      const float h = greater(Rule::side(lesser(list.y2[i], box.y2) - greater(list.y1[i], box.y1)), 0.0f);
      intersection[lane] = w * h;
      any |= intersection[lane] > 0;
    }
    if (!any) continue;
    int above = 0;
    for (int64_t lane = 0; lane < kSuppressionLanes; ++lane) {
      const float iou = intersection[lane] / (list.area[at + lane] + area - intersection[lane]);
      above |= Rule::exceeds(iou, threshold);
    }
    if (above) return true;
  }
  return false;
}

#ifdef INSTASEG_X86
template <class Rule>
INSTASEG_AVX2 inline bool any_suppresses_avx2(const BoxList& list, int64_t count, const Box& box, float area,
                                              float threshold) {
  constexpr int kCompare = Rule::kInclusive ? _CMP_GE_OQ : _CMP_GT_OQ;
  const __m256 zero = _mm256_setzero_ps(), one = _mm256_set1_ps(1.0f);
  const __m256 x1 = _mm256_set1_ps(box.x1), y1 = _mm256_set1_ps(box.y1);
  const __m256 x2 = _mm256_set1_ps(box.x2), y2 = _mm256_set1_ps(box.y2);
  for (int64_t at = 0; at < count; at += kSuppressionLanes) {
    __m256 w = _mm256_sub_ps(_mm256_min_ps(_mm256_loadu_ps(list.x2 + at), x2),
                             _mm256_max_ps(_mm256_loadu_ps(list.x1 + at), x1));
    __m256 h = _mm256_sub_ps(_mm256_min_ps(_mm256_loadu_ps(list.y2 + at), y2),
                             _mm256_max_ps(_mm256_loadu_ps(list.y1 + at), y1));
    if constexpr (Rule::kInclusive) {
      w = _mm256_add_ps(w, one);
      h = _mm256_add_ps(h, one);
    }
    const __m256 intersection = _mm256_mul_ps(_mm256_max_ps(w, zero), _mm256_max_ps(h, zero));
    if (_mm256_movemask_ps(_mm256_cmp_ps(intersection, zero, _CMP_GT_OQ)) == 0) continue;
    const __m256 both = _mm256_add_ps(_mm256_loadu_ps(list.area + at), _mm256_set1_ps(area));
    const __m256 iou = _mm256_div_ps(intersection, _mm256_sub_ps(both, intersection));
    if (_mm256_movemask_ps(_mm256_cmp_ps(iou, _mm256_set1_ps(threshold), kCompare)) != 0) return true;
  }
  return false;
}
#endif

}  // namespace instaseg::cpu
