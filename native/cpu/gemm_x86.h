// The matrix product under convolution and linear, for the level that the includer names (see lanes.h): tiles of
// Lanes::kTileRows rows and two vectors of columns.

/// The columns of a panel that exist, of each of its two vectors.
struct ColumnMasks {
  Lanes::Mask vectors[2];
};

/// Lanes of a panel's vector `v`: all of them where the panel is Full.
template <bool Full>
INSTASEG_LEVEL inline Lanes::Vec load_columns(const float* p, const ColumnMasks& masks, int v) {
  return Full ? Lanes::load(p + v * Lanes::kCount) : Lanes::load(p + v * Lanes::kCount, masks.vectors[v]);
}

// Fewer rows, or one vector of columns, run the same sequence an element.
//
// With Fetch, every step of k fetches a cache line at `next` into the L2 cache. (Fetches in one go before a tile cost
// more than they save.)
template <int Rows, int Vectors, bool Full, bool Fetch = false>
INSTASEG_LEVEL inline void tile(const PanelCall& call, int64_t row, const ColumnMasks& masks,
                                const float* next = nullptr) {
  using Vec = Lanes::Vec;
  Vec sum[Rows][Vectors];
#pragma GCC unroll 24
  for (int i = 0; i < Rows; ++i) {
    const float* c = call.c + call.c_rows[row + i];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) sum[i][v] = call.resume ? load_columns<Full>(c, masks, v) : Lanes::zero();
  }
  const float* b = call.b;
  for (int64_t tap = 0; tap < call.taps; ++tap) {
    const float* a[Rows];
#pragma GCC unroll 24
    for (int i = 0; i < Rows; ++i) a[i] = call.a[tap * call.a_stride + row + i] + call.a_offset;
#pragma GCC unroll 4
    for (int64_t k = 0; k < call.run; ++k) {
      Vec weights[Vectors];
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) weights[v] = Lanes::load(b + v * Lanes::kCount);
      b += 2 * Lanes::kCount;
      if (Fetch) {
        _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
        next += kLine;
      }
#pragma GCC unroll 24
      for (int i = 0; i < Rows; ++i) {
        const Vec value = Lanes::broadcast(a[i] + k);
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) sum[i][v] = Lanes::fma(value, weights[v], sum[i][v]);
      }
    }
  }
  if (call.finish) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      const Vec scale = Lanes::load(call.scale + v * Lanes::kCount);
      const Vec bias = Lanes::load(call.bias + v * Lanes::kCount);
#pragma GCC unroll 24
      for (int i = 0; i < Rows; ++i) sum[i][v] = Lanes::fma(sum[i][v], scale, bias);
      if (call.residual) {
#pragma GCC unroll 24
        for (int i = 0; i < Rows; ++i) {
          const float* residual = call.residual + call.c_rows[row + i];
          sum[i][v] = Lanes::add(sum[i][v], load_columns<Full>(residual, masks, v));
        }
      }
      if (call.relu) {
#pragma GCC unroll 24
        for (int i = 0; i < Rows; ++i) sum[i][v] = Lanes::relu(sum[i][v]);
      }
    }
  }
#pragma GCC unroll 24
  for (int i = 0; i < Rows; ++i) {
    float* c = call.c + call.c_rows[row + i];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      if (Full) {
        Lanes::store(c + v * Lanes::kCount, sum[i][v]);
      } else {
        Lanes::store(c + v * Lanes::kCount, masks.vectors[v], sum[i][v]);
      }
    }
  }
}

/// The rows left after `row`, in tiles of at most Rows.
template <int Rows, int Vectors, bool Full>
INSTASEG_LEVEL void rows_left(const PanelCall& call, int64_t row, const ColumnMasks& masks) {
  for (; row + Rows <= call.rows; row += Rows) tile<Rows, Vectors, Full>(call, row, masks);
  if constexpr (Rows > 1) {
    if (row < call.rows) rows_left<Rows == 2 || Rows == 3 ? Rows - 1 : Rows / 2, Vectors, Full>(call, row, masks);
  }
}

/// Fetches the share of call.later that falls to the tile at `row` of tiles of `tile_rows`. (Always inline: GCC drops
/// calls of functions that only fetch.)
INSTASEG_LEVEL INSTASEG_INLINE void fetch_later(const PanelCall& call, int64_t row, int64_t tile_rows) {
  for (const std::span<const float> later : call.later) {
    if (later.empty()) continue;
    const int64_t tiles = (call.rows + tile_rows - 1) / tile_rows;
    const int64_t lines = std::ssize(later) / kLine;
    const int64_t last = lines * (row / tile_rows + 1) / tiles;
    for (int64_t line = lines * (row / tile_rows) / tiles; line < last; ++line) {
      _mm_prefetch(reinterpret_cast<const char*>(later.data() + line * kLine), _MM_HINT_T1);
    }
  }
}

template <int Vectors, bool Full>
INSTASEG_LEVEL void all_rows(const PanelCall& call, const ColumnMasks& masks) {
  constexpr int kRows = Vectors == 1 ? 12 : Lanes::kTileRows;
  int64_t row = 0;
  // The first tiles fetch what the next call reads.
  const int64_t step = call.taps * call.run * kLine;
  for (const std::span<const float> next : {call.next_b, call.next_a}) {
    for (int64_t at = 0; row + kRows <= call.rows && at + step <= std::ssize(next); at += step, row += kRows) {
      fetch_later(call, row, kRows);
      tile<kRows, Vectors, Full, true>(call, row, masks, next.data() + at);
    }
  }
  for (; row + kRows <= call.rows; row += kRows) {
    fetch_later(call, row, kRows);
    tile<kRows, Vectors, Full>(call, row, masks);
  }
  if (row < call.rows) fetch_later(call, row, kRows);
  rows_left<kRows / 2, Vectors, Full>(call, row, masks);
}

INSTASEG_LEVEL void panel(const PanelCall& call) {
  const ColumnMasks masks{{Lanes::first(call.columns), Lanes::first(call.columns - Lanes::kCount)}};
  if (call.columns == 2 * Lanes::kCount) {
    all_rows<2, true>(call, masks);
  } else if (call.columns > Lanes::kCount) {
    all_rows<2, false>(call, masks);
  } else if (call.columns == Lanes::kCount) {
    all_rows<1, true>(call, masks);
  } else {
    all_rows<1, false>(call, masks);
  }
}

// Channels [first, first + kCount * Vectors), summed in registers in the order of the taps; the lanes outside `mask`,
// where it is used, are neither read nor written.
template <int Vectors, bool Full>
INSTASEG_LEVEL inline void depthwise_block(const DepthwiseCall& call, int64_t first, Lanes::Mask mask) {
  using Vec = Lanes::Vec;
  const auto load = [&](const float* p) INSTASEG_LEVEL { return Full ? Lanes::load(p) : Lanes::load(p, mask); };
  Vec sum[Vectors];
#pragma GCC unroll 4
  for (int i = 0; i < Vectors; ++i) sum[i] = Lanes::zero();
  for (int64_t tap = 0; tap < call.taps; ++tap) {
    const float* a = call.a[tap] + first;
    const float* b = call.b[tap] + first;
#pragma GCC unroll 4
    for (int i = 0; i < Vectors; ++i) {
      sum[i] = Lanes::fma(load(a + Lanes::kCount * i), load(b + Lanes::kCount * i), sum[i]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < Vectors; ++i) {
    const int64_t channel = first + Lanes::kCount * i;
    if (call.scale) sum[i] = Lanes::multiply(sum[i], load(call.scale + channel));
    if (call.bias) sum[i] = Lanes::add(sum[i], load(call.bias + channel));
    if (call.residual) sum[i] = Lanes::add(sum[i], load(call.residual + channel));
    if (Full) {
      Lanes::store(call.c + channel, sum[i]);
    } else {
      Lanes::store(call.c + channel, mask, sum[i]);
    }
  }
}

INSTASEG_LEVEL void depthwise(const DepthwiseCall& call) {
  constexpr int64_t kLanes = Lanes::kCount;
  int64_t c = 0;
  for (; c + 4 * kLanes <= call.channels; c += 4 * kLanes) depthwise_block<4, true>(call, c, Lanes::first(kLanes));
  for (; c + kLanes <= call.channels; c += kLanes) depthwise_block<1, true>(call, c, Lanes::first(kLanes));
  if (c < call.channels) depthwise_block<1, false>(call, c, Lanes::first(call.channels - c));
}

INSTASEG_LEVEL void activate(Activation activation, float* values, int64_t count) {
  activate_span(activation, values, count);
}
