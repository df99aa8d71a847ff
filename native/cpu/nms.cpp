// nms, variants:
//   reference  the definition: boxes in order, each against all kept ones
//   baseline   sort and split by group, images over all threads; then groups over all threads, each box against the
//              kept boxes of its group, 8 at a time (cpu/suppression.h), stopping at the first that suppresses it; then
//              one list an image
//   avx2       the same with AVX2 comparisons
// No IoU matrix: the memory is linear in the number of boxes. All variants do the same f32 operations, and a box's fate
// depends on its group alone, so the lists are the same for any variant and any number of threads.
#include "ops/nms.h"

#include <cstring>

#include "cpu/groups.h"
#include "cpu/order.h"
#include "cpu/suppression.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  Problem(const Nms& op, const KernelContext& context)
      : boxes(context.inputs[0].as<Box>()),
        scores(context.inputs[1].f32()),
        groups(input_or_absent(context, 2) ? context.inputs[2].i32() : nullptr),
        images(context.inputs[0].shape[0]),
        capacity(context.inputs[0].shape[1]),
        max_output(context.outputs[0].shape[1]),
        counts(capacity, input_or_absent(context, 3)),
        threshold(op.iou_threshold),
        indices(context.outputs[0].as<int32_t>()),
        kept_counts(context.outputs[1].as<int32_t>()) {}

  const Box* boxes;
  const float* scores;
  const int32_t* groups;
  int64_t images;
  int64_t capacity;
  int64_t max_output;
  ImageCounts counts;
  double threshold;
  int32_t* indices;
  int32_t* kept_counts;
};

void reference(const Nms& op, const KernelContext& context) {
  const Problem p(op, context);
  for (int64_t image = 0; image < p.images; ++image) {
    const Box* boxes = p.boxes + image * p.capacity;
    const float* scores = p.scores + image * p.capacity;
    const int32_t* groups = p.groups ? p.groups + image * p.capacity : nullptr;
    int32_t* kept = p.indices + image * p.max_output;
    std::vector<int32_t> order;
    for (int64_t i = 0; i < p.counts[image]; ++i) {
      if (scores[i] == scores[i]) order.push_back(static_cast<int32_t>(i));
    }
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
    int64_t count = 0;
    for (int32_t candidate : order) {
      if (count == p.max_output) break;
      bool suppressed = false;
      for (int64_t i = 0; i < count && !suppressed; ++i) {
        const int32_t other = kept[i];
        if (groups && groups[other] != groups[candidate]) continue;
        const float iou = box_iou(boxes[other], box_area(boxes[other]), boxes[candidate], box_area(boxes[candidate]));
        suppressed = static_cast<double>(iou) > p.threshold;
      }
      if (!suppressed) kept[count++] = candidate;
    }
    p.kept_counts[image] = static_cast<int32_t>(count);
  }
}

bool any_suppresses_baseline(const BoxList& kept, int64_t count, const Box& box, float area, float threshold) {
  return any_suppresses<IouAbove>(kept, count, box, area, threshold);
}

// A threshold below 0: boxes that do not intersect suppress each other too.
bool suppressed_by_any(const BoxList& kept, int64_t count, const Box& box, float area, float threshold) {
  for (int64_t i = 0; i < count; ++i) {
    if (box_iou({kept.x1[i], kept.y1[i], kept.x2[i], kept.y2[i]}, kept.area[i], box, area) > threshold) return true;
  }
  return false;
}

/// Boxes of one group: positions [begin, end) of the image's `pairs`; their kept boxes start at `slot`.
struct Segment {
  int32_t begin, end;
  int64_t slot;
};

/// Memory of one image; linear in its boxes.
struct ImageScratch {
  ImageScratch(Carver& carver, int64_t capacity) {
    pairs = carver.take<uint64_t>(capacity);
    other = carver.take<uint64_t>(capacity);
    order = carver.take<int32_t>(capacity);
    segments = carver.take<Segment>(capacity);
    kept = carver.take<uint8_t>(capacity);
    // Groups of two boxes or more take whole lanes.
    const int64_t slots = capacity * (kSuppressionLanes / 2) + kSuppressionLanes;
    for (float*& column : columns) column = carver.take<float>(slots);
  }

  uint64_t* pairs;  ///< by score; then group << 32 | rank, by group
  uint64_t* other;
  int32_t* order;  ///< rank to index of the box
  Segment* segments;
  uint8_t* kept;  ///< by rank
  float* columns[5];
};

struct Scratch {
  Scratch(char* base, int64_t images, int64_t capacity) {
    Carver carver(base);
    ranked = carver.take<int64_t>(images);
    segment_counts = carver.take<int64_t>(images);
    for (int64_t image = 0; image < images; ++image) per_image.emplace_back(carver, capacity);
    bytes = carver.used();
  }

  int64_t* ranked;  ///< boxes of each image whose score is a number
  int64_t* segment_counts;
  std::vector<ImageScratch> per_image;
  size_t bytes;
};

size_t workspace(const Nms&, const Specs& in, const Specs&, int) {
  return Scratch(nullptr, in[0].shape[0], in[0].shape[1]).bytes;
}

// Orders one image by score and splits it by group.
void rank_image(const Problem& p, const Scratch& scratch, int64_t image) {
  const ImageScratch& s = scratch.per_image[static_cast<size_t>(image)];
  const float* scores = p.scores + image * p.capacity;
  int64_t count = 0;
  for (int64_t i = 0; i < p.counts[image]; ++i) {
    if (scores[i] == scores[i]) s.pairs[count++] = order_pair(descending_key(scores[i]), i);
  }
  sort_pairs(s.pairs, s.other, count);
  std::memset(s.kept, 0, static_cast<size_t>(count));
  for (int64_t rank = 0; rank < count; ++rank) {
    const int32_t index = pair_index(s.pairs[rank]);
    s.order[rank] = index;
    const int32_t group = p.groups ? p.groups[image * p.capacity + index] : 0;
    s.pairs[rank] = order_pair(static_cast<uint32_t>(group), rank);
  }
  if (p.groups) sort_pairs(s.pairs, s.other, count);
  int64_t segments = 0;
  int64_t slot = 0;
  for (int64_t begin = 0, end = 0; begin < count; begin = end) {
    while (end < count && s.pairs[end] >> 32 == s.pairs[begin] >> 32) ++end;
    s.segments[segments++] = {static_cast<int32_t>(begin), static_cast<int32_t>(end), slot};
    if (end - begin > 1) slot += (end - begin + kSuppressionLanes - 1) / kSuppressionLanes * kSuppressionLanes;
  }
  scratch.ranked[image] = count;
  scratch.segment_counts[image] = segments;
}

using Suppressed = bool (*)(const BoxList&, int64_t, const Box&, float, float);

void run_segment(const Problem& p, const ImageScratch& s, int64_t image, const Segment& segment, float threshold,
                 Suppressed any_above) {
  const Box* boxes = p.boxes + image * p.capacity;
  if (segment.end - segment.begin == 1) {
    s.kept[pair_index(s.pairs[segment.begin])] = 1;
    return;
  }
  float* const* c = s.columns;
  const BoxList kept{c[0] + segment.slot, c[1] + segment.slot, c[2] + segment.slot, c[3] + segment.slot,
                     c[4] + segment.slot};
  int64_t count = 0;
  for (int64_t i = segment.begin; i < segment.end && count < p.max_output; ++i) {
    const int32_t rank = pair_index(s.pairs[i]);
    const Box& box = boxes[s.order[rank]];
    const float area = box_area(box);
    if (any_above(kept, count, box, area, threshold)) continue;
    s.kept[rank] = 1;
    kept.add(count++, box, area);
  }
}

template <Suppressed AnyAbove>
void parallel(const Nms& op, const KernelContext& context) {
  const Problem p(op, context);
  if (p.max_output == 0) {
    std::fill(p.kept_counts, p.kept_counts + p.images, 0);
    return;
  }
  const Scratch scratch(context.workspace, p.images, p.capacity);
  context.parallel_for(p.images, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t image = begin; image < end; ++image) rank_image(p, scratch, image);
  });
  int64_t segments = 0;
  for (int64_t image = 0; image < p.images; ++image) segments += scratch.segment_counts[image];
  const float threshold = floor_to_float(p.threshold);
  const Suppressed any_above = threshold >= 0 ? AnyAbove : suppressed_by_any;
  context.parallel_for(segments, segments / 1024 + 1, [&](int64_t begin, int64_t end, int) {
    int64_t image = 0;
    int64_t first = 0;
    for (int64_t i = begin; i < end; ++i) {
      while (i - first >= scratch.segment_counts[image]) first += scratch.segment_counts[image++];
      const ImageScratch& s = scratch.per_image[static_cast<size_t>(image)];
      run_segment(p, s, image, s.segments[i - first], threshold, any_above);
    }
  });
  context.parallel_for(p.images, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t image = begin; image < end; ++image) {
      const ImageScratch& s = scratch.per_image[static_cast<size_t>(image)];
      int32_t* indices = p.indices + image * p.max_output;
      int64_t count = 0;
      for (int64_t rank = 0; rank < scratch.ranked[image] && count < p.max_output; ++rank) {
        if (s.kept[rank]) indices[count++] = s.order[rank];
      }
      p.kept_counts[image] = static_cast<int32_t>(count);
    }
  });
}

const KernelRegistration<Nms> reference_row{{.run = reference}};
const KernelRegistration<Nms> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = parallel<any_suppresses_baseline>}};
#ifdef INSTASEG_X86
const KernelRegistration<Nms> avx2_row{{.variant = "avx2",
                                        .isa = Isa::avx2,
                                        .rank = 20,
                                        .workspace = workspace,
                                        .run = parallel<any_suppresses_avx2<IouAbove>>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
