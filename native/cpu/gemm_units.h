// How a matrix product is cut into units of work for the threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace instaseg::cpu {

/// Floats of a cache line.
inline constexpr int64_t kLine = 16;
/// Rows that pass over a panel of weights at once: their slice of the input stays in the L2 cache.
inline constexpr int64_t kRowBlock = 96;

inline size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }
template <class T>
T divide_up(T a, std::type_identity_t<T> b) {
  return (a + b - 1) / b;
}

/// `count` items in blocks of equal size (but the last), at most `limit` each.
struct Split {
  int64_t size;
  int64_t blocks;
  Split(int64_t count, int64_t limit, int64_t multiple = 1) {
    const int64_t wanted = std::max<int64_t>(divide_up(count, limit), 1);
    size = std::max<int64_t>(divide_up(divide_up(count, wanted), multiple) * multiple, 1);
    blocks = divide_up(count, size);
  }
};

/// A product of rows x depth with depth x columns, `copies` of them.
struct UnitProblem {
  int64_t copies = 1;
  int64_t rows = 0;
  /// Rows of a unit are multiples of `tile_rows`, at most `most_rows`.
  int64_t tile_rows = 1;
  int64_t most_rows = 0;
  /// Columns are dealt out in pieces (panels of them, or groups of panels).
  int64_t pieces = 0;
  double piece_columns = 0;
  double depth = 0;
  /// What a unit does for each of its rows before the first column, as a number of columns.
  double columns_to_gather = 0;
  int threads = 1;
};

struct UnitPlan {
  Split rows;
  Split pieces;
};

/// The cut that is estimated to finish first.
inline UnitPlan plan_units(const UnitProblem& problem) {
  // Multiply-adds of a unit at most: a call is cancelled between units.
  constexpr double kLargestUnit = 1.2e8;
  // What a unit costs beside its own, and what waking the other threads costs, in multiply-adds.
  constexpr double kUnit = 2e5;
  constexpr double kWaking = 1e6;
  // The weights of a unit are read once for each block of rows, at the price of so many rows: little where units that
  // follow one another find them in the last-level cache, which has room for some megabytes, much in main memory.
  constexpr double kCachedWeights = 12 << 20;
  constexpr double kReadingCached = 2;
  constexpr double kReadingMemory = 16;
  // Threads are seldom equally fast: some of them waits for a part of the last unit.
  constexpr double kWaiting = 0.25;
  const int64_t rows_in_all = std::max<int64_t>(problem.rows, 1);
  double least = std::numeric_limits<double>::infinity();
  UnitPlan best{Split(rows_in_all, problem.tile_rows, problem.tile_rows), Split(problem.pieces, 1)};
  for (int64_t chunks = 1;; chunks *= 2) {
    const Split pieces(problem.pieces, divide_up(problem.pieces, chunks));
    const double columns = static_cast<double>(pieces.size) * problem.piece_columns;
    const bool cached = columns * problem.depth * sizeof(float) <= kCachedWeights;
    const double reading_rows = cached ? kReadingCached : kReadingMemory;
    for (int64_t rows = problem.tile_rows; rows <= problem.most_rows; rows += problem.tile_rows) {
      const auto height = static_cast<double>(rows);
      if (height * columns * problem.depth > kLargestUnit) break;
      const int64_t units = problem.copies * pieces.blocks * divide_up(rows_in_all, rows);
      const double turns = static_cast<double>(divide_up<int64_t>(units, problem.threads)) + kWaiting;
      const double reading = 1 + reading_rows / static_cast<double>(std::min(rows, kRowBlock));
      const double unit = height * reading * (columns + problem.columns_to_gather) * problem.depth + kUnit;
      const double cost = turns * unit + (units > 1 ? kWaking : 0);
      if (cost < least) {
        least = cost;
        best = {Split(rows_in_all, rows, problem.tile_rows), pieces};
      }
      if (rows >= rows_in_all) break;
    }
    if (pieces.size <= 1) return best;
  }
}

}  // namespace instaseg::cpu
