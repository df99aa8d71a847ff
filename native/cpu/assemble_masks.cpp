// assembleMasks, variants:
//   reference  one cell at a time, the C library's exp
//   baseline   rows of cells over all threads. A row of prototypes is transposed into L1 (only the columns that a box
//              covers), then serves all masks: products and the sigmoid (cpu/exp.h) run along 16 cells at once, inside
//              the boxes only
//   avx2       the same along 32 cells; the same bits
// The products of a cell are summed in the order of the prototypes, without contraction.
#include "ops/assemble_masks.h"

#include <cstring>

#include "cpu/exp.h"
#include "cpu/groups.h"
#include "ops/yolact_rules.h"

namespace instaseg::cpu {
namespace {

struct Problem {
  Problem(const AssembleMasks& op, const KernelContext& context)
      : op(op),
        prototypes(context.inputs[0].f32()),
        coefficients(context.inputs[1].f32()),
        boxes(context.inputs[2].as<Box>()),
        images(context.inputs[0].shape[0]),
        height(context.inputs[0].shape[1]),
        width(context.inputs[0].shape[2]),
        depth(context.inputs[0].shape[3]),
        capacity(context.inputs[2].shape[1]),
        counts(capacity, input_or_absent(context, 3)),
        output(context.outputs[0].as<float>()) {}

  const AssembleMasks& op;
  const float* prototypes;
  const float* coefficients;
  const Box* boxes;
  int64_t images;
  int64_t height;
  int64_t width;
  int64_t depth;
  int64_t capacity;
  ImageCounts counts;
  float* output;
};

/// The cells inside a box.
struct Window {
  Window(const Problem& p, int64_t mask) {
    const Box& box = p.boxes[mask];
    pixels_within(sanitize(box.x1, box.x2, p.width, p.op.padding), p.width, left, right);
    pixels_within(sanitize(box.y1, box.y2, p.height, p.op.padding), p.height, top, bottom);
  }
  bool covers(int64_t row) const { return row >= top && row < bottom && left < right; }
  int64_t left, right, top, bottom;
};

void reference(const AssembleMasks& op, const KernelContext& context) {
  const Problem p(op, context);
  for (int64_t image = 0; image < p.images; ++image) {
    for (int64_t mask = image * p.capacity; mask < image * p.capacity + p.counts[image]; ++mask) {
      const Window window(p, mask);
      for (int64_t y = 0; y < p.height; ++y) {
        for (int64_t x = 0; x < p.width; ++x) {
          float value = 0;
          if (window.covers(y) && x >= window.left && x < window.right) {
            for (int64_t k = 0; k < p.depth; ++k) {
              value += p.prototypes[((image * p.height + y) * p.width + x) * p.depth + k] *
                       p.coefficients[mask * p.depth + k];
            }
            value = 1.0f / (1.0f + std::exp(-value));
          }
          p.output[(mask * p.height + y) * p.width + x] = value;
        }
      }
    }
  }
}

// The most cells that are worked on at once.
constexpr int64_t kCells = 32;

int64_t stride(int64_t width) { return (width + 7) / 8 * 8 + kCells; }

struct Scratch {
  Scratch(char* base, int64_t masks, int64_t width, int64_t depth, int thread_count) {
    Carver carver(base);
    windows = carver.take<Window>(masks);
    for (int i = 0; i < thread_count; ++i) transposed.push_back(carver.take<float>(stride(width) * depth));
    bytes = carver.used();
  }
  Window* windows;
  std::vector<float*> transposed;  ///< [k][column]
  size_t bytes;
};

size_t workspace(const AssembleMasks&, const Specs& in, const Specs& out, int threads) {
  return Scratch(nullptr, out[0].shape[0], in[0].shape[2], in[0].shape[3], threads).bytes;
}

// Columns [begin, end) of one row of prototypes; kCells columns of zeros follow.
INSTASEG_INLINE void transpose(const float* __restrict row, float* __restrict to, int64_t begin, int64_t end,
                               int64_t width, int64_t depth) {
  const int64_t step = stride(width);
  constexpr int64_t kTile = 8;
  int64_t k = 0;
  for (; k + kTile <= depth; k += kTile) {
    int64_t x = begin;
    for (; x + kTile <= end; x += kTile) {
      // Both loops of fixed length: whole cache lines are read and written.
      for (int64_t i = 0; i < kTile; ++i) {
        for (int64_t j = 0; j < kTile; ++j) to[(k + i) * step + x + j] = row[(x + j) * depth + k + i];
      }
    }
    for (; x < end; ++x) {
      for (int64_t i = 0; i < kTile; ++i) to[(k + i) * step + x] = row[x * depth + k + i];
    }
  }
  for (; k < depth; ++k) {
    for (int64_t x = begin; x < end; ++x) to[k * step + x] = row[x * depth + k];
  }
  for (k = 0; k < depth; ++k) std::memset(to + k * step + end, 0, kCells * sizeof(float));
}

// Columns [begin, end) of one row of one mask, with vectors of `Width` floats. Each cell has its own sum, so the width
// changes no bit.
template <int64_t Width>
INSTASEG_INLINE void combine(const float* __restrict transposed, const float* __restrict coefficients,
                             float* __restrict y, int64_t begin, int64_t end, int64_t width, int64_t depth) {
  typedef float Vector __attribute__((vector_size(Width * sizeof(float))));
  constexpr int64_t kVectors = 4;
  constexpr int64_t kStep = Width * kVectors;
  static_assert(kStep <= kCells);
  for (int64_t x = begin; x < end; x += kStep) {
    Vector sum[kVectors] = {};
    const float* from = transposed + x;
    for (int64_t k = 0; k < depth; ++k, from += stride(width)) {
      for (int64_t i = 0; i < kVectors; ++i) {
        Vector part;
        std::memcpy(&part, from + i * Width, sizeof(part));
        sum[i] += part * coefficients[k];
      }
    }
    float values[kStep];
    std::memcpy(values, sum, sizeof(values));
    for (int64_t i = 0; i < kStep; ++i) values[i] = vector_sigmoid(values[i]);
    std::memcpy(y + x, values, static_cast<size_t>(std::min(kStep, end - x)) * sizeof(float));
  }
}

template <int64_t Width>
INSTASEG_INLINE void run_row(const Problem& p, const Window* windows, int64_t image, int64_t y, float* transposed) {
  const int64_t first = image * p.capacity;
  const int64_t last = first + p.counts[image];
  int64_t left = p.width;
  int64_t right = 0;
  for (int64_t mask = first; mask < last; ++mask) {
    if (!windows[mask].covers(y)) continue;
    left = std::min(left, windows[mask].left);
    right = std::max(right, windows[mask].right);
  }
  if (left < right) {
    transpose(p.prototypes + (image * p.height + y) * p.width * p.depth, transposed, left, right, p.width, p.depth);
  }
  for (int64_t mask = first; mask < last; ++mask) {
    const Window& window = windows[mask];
    float* out = p.output + (mask * p.height + y) * p.width;
    if (!window.covers(y)) {
      std::memset(out, 0, static_cast<size_t>(p.width) * sizeof(float));
      continue;
    }
    std::memset(out, 0, static_cast<size_t>(window.left) * sizeof(float));
    combine<Width>(transposed, p.coefficients + mask * p.depth, out, window.left, window.right, p.width, p.depth);
    std::memset(out + window.right, 0, static_cast<size_t>(p.width - window.right) * sizeof(float));
  }
}
void row_baseline(const Problem& p, const Window* windows, int64_t image, int64_t y, float* transposed) {
  run_row<4>(p, windows, image, y, transposed);
}

template <void (*Row)(const Problem&, const Window*, int64_t, int64_t, float*)>
void parallel(const AssembleMasks& op, const KernelContext& context) {
  const Problem p(op, context);
  if (context.outputs[0].elements() == 0) return;
  const Scratch scratch(context.workspace, p.images * p.capacity, p.width, p.depth, context.pool.threads());
  for (int64_t image = 0; image < p.images; ++image) {
    for (int64_t mask = image * p.capacity; mask < image * p.capacity + p.counts[image]; ++mask) {
      scratch.windows[mask] = Window(p, mask);
    }
  }
  context.parallel_for(p.images * p.height, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t item = begin; item < end; ++item) {
      Row(p, scratch.windows, item / p.height, item % p.height, scratch.transposed[static_cast<size_t>(thread)]);
    }
  });
}

const KernelRegistration<AssembleMasks> reference_row{{.run = reference}};
const KernelRegistration<AssembleMasks> baseline_row{
    {.variant = "baseline", .rank = 10, .workspace = workspace, .run = parallel<row_baseline>}};
#ifdef INSTASEG_X86
INSTASEG_AVX2 void row_avx2(const Problem& p, const Window* windows, int64_t image, int64_t y, float* transposed) {
  run_row<8>(p, windows, image, y, transposed);
}
const KernelRegistration<AssembleMasks> avx2_row{
    {.variant = "avx2", .isa = Isa::avx2, .rank = 20, .workspace = workspace, .run = parallel<row_avx2>}};
#endif

}  // namespace
}  // namespace instaseg::cpu
