// What the kernels of pasteMasks and pasteMasksRle share: the list of places, and the evaluation of rows of pixels.
#pragma once

#include <cstring>

#include "cpu/groups.h"
#include "cpu/rows.h"
#include "ops/paste_rules.h"

#ifdef INSTASEG_X86
#include <immintrin.h>
#endif

namespace instaseg::cpu {

/// The call's inputs; rows are masks.
struct PasteProblem {
  PasteProblem(const PasteRules& rules, const KernelContext& context)
      : rules(rules),
        masks(context.inputs[0].f32()),
        boxes(context.inputs[1].as<Box>()),
        sizes(context.inputs[2].i32()),
        capacity(context.inputs[1].shape[1]),
        mask_height(context.inputs[0].shape[context.inputs[0].shape.rank() - 2]),
        mask_width(context.inputs[0].shape.back()),
        rows(context.inputs[1].elements() / 4, input_or_absent(context, 3)),
        regions(context.outputs[0].as<int32_t>()) {}

  int64_t image_height(int64_t row) const { return std::max(sizes[row / capacity * 4], 0); }
  int64_t image_width(int64_t row) const { return std::max(sizes[row / capacity * 4 + 1], 0); }
  const float* mask(int64_t row) const { return masks + row * mask_height * mask_width; }
  PastePlace place(int64_t row) const {
    return paste_place(rules.rule, boxes[row], mask_height, mask_width, image_height(row), image_width(row));
  }
  void write_region(int64_t row, const PastePlace& place) const {
    int32_t* region = regions + row * 4;
    region[0] = static_cast<int32_t>(place.x.begin);
    region[1] = static_cast<int32_t>(place.y.begin);
    region[2] = static_cast<int32_t>(place.width());
    region[3] = static_cast<int32_t>(place.height());
  }

  const PasteRules& rules;
  const float* masks;
  const Box* boxes;
  const int32_t* sizes;
  int64_t capacity;
  int64_t mask_height;
  int64_t mask_width;
  ValidRows rows;
  int32_t* regions;
};

/// One pixel by the definition.
template <PasteRule Rule>
float paste_pixel(const PasteProblem& p, int64_t row, const PastePlace& place, int64_t y, int64_t x) {
  const PasteTap ty = place.y.tap<Rule>(y);
  const PasteTap tx = place.x.tap<Rule>(x);
  const float* mask = p.mask(row);
  const auto value = [&](int64_t i, int64_t j) {
    const bool inside = i >= 1 && i <= p.mask_height && j >= 1 && j <= p.mask_width;
    return inside ? mask[(i - 1) * p.mask_width + j - 1] : 0.0f;
  };
  return paste_value<Rule>(value(ty.at, tx.at), value(ty.at, tx.at + 1), value(ty.at + 1, tx.at),
                           value(ty.at + 1, tx.at + 1), tx.w0, tx.w1, ty.w0, ty.w1);
}

/// Evaluates rows of up to kTile columns of one mask. The taps of the columns are computed once, the mask values that
/// they need once for every row of the mask; what is left for a pixel is a few products.
template <PasteRule Rule>
class PasteTile {
 public:
  static constexpr int64_t kTile = 512;

  /// `padded`: room for padded_size() floats.
  static int64_t padded_size(int64_t height, int64_t width) { return (height + 3) * (width + 3); }
  PasteTile(const PasteProblem& problem, float* padded) : p_(problem), padded_(padded) {}

  void start_mask(int64_t row, const PastePlace& place) {
    if (row == row_) return;
    row_ = row;
    place_ = place;
    const int64_t stride = p_.mask_width + 3;
    std::memset(padded_, 0, static_cast<size_t>(padded_size(p_.mask_height, p_.mask_width)) * sizeof(float));
    for (int64_t y = 0; y < p_.mask_height; ++y) {
      std::memcpy(padded_ + (y + 1) * stride + 1, p_.mask(row) + y * p_.mask_width,
                  static_cast<size_t>(p_.mask_width) * sizeof(float));
    }
  }
  /// Columns [begin, begin + count) of the image, count <= kTile.
  INSTASEG_INLINE void start_columns(int64_t begin, int64_t count) {
    count_ = count;
    for (int64_t i = 0; i < count; ++i) {
      const PasteTap tap = place_.x.tap<Rule>(begin + i);
      at_[i] = tap.at;
      x0_[i] = tap.w0;
      x1_[i] = tap.w1;
    }
    // Whole vectors are evaluated; the lanes behind the last column stay outside every mask.
    for (int64_t i = count; i % 32 != 0; ++i) {
      at_[i] = static_cast<int32_t>(p_.mask_width + 1);
      x0_[i] = x1_[i] = 0;
    }
    loaded_ = -1;
  }
  /// Prepares row y of the image.
  INSTASEG_INLINE void start_row(int64_t y) {
    tap_ = place_.y.tap<Rule>(y);
    if (tap_.at == loaded_) return;
    const int64_t stride = p_.mask_width + 3;
    load(padded_ + tap_.at * stride, upper_);
    load(padded_ + (tap_.at + 1) * stride, lower_);
    loaded_ = tap_.at;
  }
  /// Column i of the prepared row.
  INSTASEG_INLINE float value(int64_t i) const {
    if constexpr (Rule == PasteRule::torchvision) {
      return upper_[0][i] * tap_.w0 + lower_[0][i] * tap_.w1;
    } else {
      return paste_value<Rule>(upper_[0][i], upper_[1][i], lower_[0][i], lower_[1][i], x0_[i], x1_[i], tap_.w0,
                               tap_.w1);
    }
  }
  /// Columns 32 * word to 32 * word + 31 as bits.
  INSTASEG_INLINE uint32_t word(int64_t word) const {
    uint32_t bits = 0;
    for (int64_t i = 0; i < 32; ++i) {
      bits |= static_cast<uint32_t>(paste_inside<Rule>(value(word * 32 + i), p_.rules.threshold)) << i;
    }
    return bits & valid(word);
  }
#ifdef INSTASEG_X86
  INSTASEG_AVX2 uint32_t word_avx2(int64_t word) const {
    const __m256 threshold = _mm256_set1_ps(p_.rules.threshold);
    const __m256 y0 = _mm256_set1_ps(tap_.w0), y1 = _mm256_set1_ps(tap_.w1);
    uint32_t bits = 0;
    for (int64_t part = 0; part < 4; ++part) {
      const int64_t i = word * 32 + part * 8;
      __m256 value;
      if constexpr (Rule == PasteRule::torchvision) {
        value = _mm256_mul_ps(_mm256_loadu_ps(upper_[0] + i), y0);
        value = _mm256_add_ps(value, _mm256_mul_ps(_mm256_loadu_ps(lower_[0] + i), y1));
      } else {
        const __m256 x0 = _mm256_loadu_ps(x0_ + i), x1 = _mm256_loadu_ps(x1_ + i);
        value = _mm256_mul_ps(_mm256_loadu_ps(upper_[0] + i), _mm256_mul_ps(x0, y0));
        value = _mm256_add_ps(value, _mm256_mul_ps(_mm256_loadu_ps(upper_[1] + i), _mm256_mul_ps(x1, y0)));
        value = _mm256_add_ps(value, _mm256_mul_ps(_mm256_loadu_ps(lower_[0] + i), _mm256_mul_ps(x0, y1)));
        value = _mm256_add_ps(value, _mm256_mul_ps(_mm256_loadu_ps(lower_[1] + i), _mm256_mul_ps(x1, y1)));
      }
      constexpr int kCompare = Rule == PasteRule::torchvision ? _CMP_GT_OQ : _CMP_GE_OQ;
      const int mask = _mm256_movemask_ps(_mm256_cmp_ps(value, threshold, kCompare));
      bits |= static_cast<uint32_t>(mask) << (part * 8);
    }
    return bits & valid(word);
  }
#endif

 private:
  INSTASEG_INLINE uint32_t valid(int64_t word) const {
    const int64_t left = count_ - word * 32;
    return left >= 32 ? UINT32_MAX : (uint32_t{1} << left) - 1;
  }
  // torchvision: interpolated along x; detectron2: both neighbours.
  INSTASEG_INLINE void load(const float* mask_row, float (*values)[kTile]) {
    const int64_t count = (count_ + 31) / 32 * 32;
    for (int64_t i = 0; i < count; ++i) {
      const float left = mask_row[at_[i]];
      const float right = mask_row[at_[i] + 1];
      if constexpr (Rule == PasteRule::torchvision) {
        values[0][i] = left * x0_[i] + right * x1_[i];
      } else {
        values[0][i] = left;
        values[1][i] = right;
      }
    }
  }

  const PasteProblem& p_;
  float* padded_;
  int64_t row_ = -1;
  PastePlace place_;
  int64_t count_ = 0;
  int32_t loaded_ = -1;
  PasteTap tap_{};
  int32_t at_[kTile];
  float x0_[kTile], x1_[kTile];
  float upper_[2][kTile], lower_[2][kTile];
};

/// The mask whose chunks contain chunk `index`: chunk_ends[i] is the number of chunks of masks 0 to i.
inline int64_t chunk_owner(const std::vector<int64_t>& chunk_ends, int64_t index) {
  return std::upper_bound(chunk_ends.begin(), chunk_ends.end(), index) - chunk_ends.begin();
}

}  // namespace instaseg::cpu
