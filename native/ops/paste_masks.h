// pasteMasks: masks resized into their boxes, stored only inside them.
//   regions i32 [N, K, 4]: x, y, width, height of each mask's pixels inside the image (zeros where there are none)
//   offsets i32 [N, K]: first 32-bit word of each region in `bits` (or first value in the soft output)
//   bits    u8 [4 * words]: rows top to bottom, each padded to whole 32-bit words, pixel x in bit x & 31 of word x >>
//   5,
//           little-endian; or with output "soft" f32 [pixels]: the probabilities, rows of `width` values
// Rules: torchvision paste_masks_in_image (> threshold), or detectron2 paste_masks_in_image (>= threshold).
#pragma once

#include "ops/paste_rules.h"

namespace instaseg {

struct PasteMasks : PasteRules {
  static constexpr const char* name = "pasteMasks";
  static constexpr const char* inputs[] = {"masks", "boxes", "sizes", "counts?"};

  bool soft = false;

  static PasteMasks parse(AttributeReader& reader) {
    PasteMasks op;
    op.parse_rules(reader);
    op.soft = reader.choice("output", {"bits", "soft"}) == 1;
    return op;
  }
  Specs infer(const Specs& in) const {
    const Shape rows = check(name, in);
    return {{.dtype = DType::i32, .shape = {rows[0], rows[1], 4}},
            {.dtype = DType::i32, .shape = rows},
            {.dtype = soft ? DType::f32 : DType::u8, .shape = {kDynamic}}};
  }
};
inline const OpRegistration<PasteMasks> paste_masks_registration;

}  // namespace instaseg
