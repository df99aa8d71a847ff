// pasteMasksRle: the masks of pasteMasks as run lengths of the whole original image in column-major order, starting
// with a run of zeros (COCO's uncompressed RLE). Work is done inside the boxes only.
//   regions   i32 [N, K, 4] as in pasteMasks
//   offsets   i32 [N, K]: first run of each mask in `runs`
//   runCounts i32 [N, K]: its number of runs, at least 1
//   runs      i32 [total], to be read as unsigned
#pragma once

#include "ops/paste_rules.h"

namespace instaseg {

struct PasteMasksRle : PasteRules {
  static constexpr const char* name = "pasteMasksRle";
  static constexpr const char* inputs[] = {"masks", "boxes", "sizes", "counts?"};

  static PasteMasksRle parse(AttributeReader& reader) {
    PasteMasksRle op;
    op.parse_rules(reader);
    return op;
  }
  Specs infer(const Specs& in) const {
    const Shape rows = check(name, in);
    return {{.dtype = DType::i32, .shape = {rows[0], rows[1], 4}},
            {.dtype = DType::i32, .shape = rows},
            {.dtype = DType::i32, .shape = rows},
            {.dtype = DType::i32, .shape = {kDynamic}}};
  }
};
inline const OpRegistration<PasteMasksRle> paste_masks_rle_registration;

}  // namespace instaseg
