// The transforms of Winograd's convolution, for the level that the includer names (see lanes.h). Size is an
// Interpolation.

/// Calls body(constant 0), ... body(constant Count - 1): the coefficients are compile-time constants of the index.
template <int... Index, class Body>
INSTASEG_LEVEL INSTASEG_INLINE void unrolled(std::integer_sequence<int, Index...>, const Body& body) {
  (body(std::integral_constant<int, Index>()), ...);
}
template <int Count, class Body>
INSTASEG_LEVEL INSTASEG_INLINE void unrolled(const Body& body) {
  unrolled(std::make_integer_sequence<int, Count>(), body);
}

/// Sum of the monic polynomial's coefficients times d[0], d[2 * step], ...; Pair -1 is that of all pairs.
template <class Size, int Pair>
INSTASEG_LEVEL INSTASEG_INLINE Lanes::Vec apply_polynomial(const Lanes::Vec* d, int step) {
  constexpr int kDegree = Pair < 0 ? Size::kPairs : Size::kPairs - 1;
  Lanes::Vec sum = d[2 * kDegree * step];
  unrolled<kDegree>([&](auto i) INSTASEG_LEVEL {
    constexpr int j = kDegree - 1 - i;
    constexpr float c = Pair < 0 ? Size::all(j) : Size::other(Pair, j);
    sum = Lanes::fma(Lanes::set(c), d[2 * j * step], sum);
  });
  return sum;
}

/// B^T along one axis: d are kWindow vectors, `step` apart.
template <class Size>
INSTASEG_LEVEL INSTASEG_INLINE void input_axis(const Lanes::Vec* d, int step, Lanes::Vec* v) {
  if constexpr (Size::kZero) v[0] = apply_polynomial<Size, -1>(d, step);
  unrolled<Size::kPairs>([&](auto i) INSTASEG_LEVEL {
    constexpr int pair = i;
    const Lanes::Vec even = apply_polynomial<Size, pair>(d + (1 + Size::kZero) * step, step);
    const Lanes::Vec odd = apply_polynomial<Size, pair>(d + Size::kZero * step, step);
    const Lanes::Vec point = Lanes::set(Size::power(pair, 1));
    v[Size::kZero + 2 * pair] = Lanes::fma(point, odd, even);
    v[Size::kZero + 2 * pair + 1] = Lanes::fnma(point, odd, even);
  });
  v[Size::kWindow - 1] = apply_polynomial<Size, -1>(d + Size::kZero * step, step);
}

/// A^T along one axis.
template <class Size>
INSTASEG_LEVEL INSTASEG_INLINE void output_axis(const Lanes::Vec* m, Lanes::Vec* y) {
  Lanes::Vec parts[2][Size::kPairs];  // sums and differences of the pairs
  unrolled<Size::kPairs>([&](auto i) INSTASEG_LEVEL {
    const Lanes::Vec* pair = m + Size::kZero + 2 * i;
    parts[0][i] = Lanes::add(pair[0], pair[1]);
    parts[1][i] = Lanes::subtract(pair[0], pair[1]);
  });
  unrolled<Size::kTile>([&](auto k) INSTASEG_LEVEL {
    constexpr int kPower = k;
    constexpr bool kLast = kPower == Size::kTile - 1;
    constexpr int kRest = Size::kPairs - 1;
    const Lanes::Vec* part = parts[kPower % 2];
    const Lanes::Vec factor = Lanes::set(Size::power(kRest, kPower));
    Lanes::Vec sum;
    if constexpr (kPower == 0) {
      sum = Size::kZero ? Lanes::add(m[0], part[kRest]) : part[kRest];
    } else {
      sum = kLast ? Lanes::fma(factor, part[kRest], m[Size::kWindow - 1]) : Lanes::multiply(factor, part[kRest]);
    }
    unrolled<kRest>([&](auto i) INSTASEG_LEVEL {
      constexpr int pair = kRest - 1 - i;
      if constexpr (kPower == 0) {
        sum = Lanes::add(sum, part[pair]);
      } else {
        sum = Lanes::fma(Lanes::set(Size::power(pair, kPower)), part[pair], sum);
      }
    });
    y[kPower] = sum;
  });
}

/// V of a vector of channels of a tile; `pixels` are its input pixels.
template <class Size, bool Full>
INSTASEG_LEVEL inline void transform_input(const float* const* pixels, int64_t channel, Lanes::Mask mask, float* v,
                                           int64_t v_stride) {
  constexpr int kWindow = Size::kWindow;
  Lanes::Vec half[Size::kPoints];  // [x][point along y]
#pragma GCC unroll 8
  for (int x = 0; x < kWindow; ++x) {
    Lanes::Vec d[kWindow];
#pragma GCC unroll 8
    for (int y = 0; y < kWindow; ++y) {
      const float* pixel = pixels[y * kWindow + x] + channel;
      d[y] = Full ? Lanes::load(pixel) : Lanes::load(pixel, mask);
    }
    input_axis<Size>(d, 1, half + x * kWindow);
  }
#pragma GCC unroll 8
  for (int y = 0; y < kWindow; ++y) {
    Lanes::Vec row[kWindow];
    input_axis<Size>(half + y, kWindow, row);
#pragma GCC unroll 8
    for (int x = 0; x < kWindow; ++x) Lanes::store(v + (y * kWindow + x) * v_stride + channel, row[x]);
  }
}

template <class Size>
INSTASEG_LEVEL void transform_input_tile(const float* const* pixels, int64_t channels, float* v, int64_t v_stride) {
  int64_t c = 0;
  for (; c + Lanes::kCount <= channels; c += Lanes::kCount) {
    transform_input<Size, true>(pixels, c, Lanes::first(Lanes::kCount), v, v_stride);
  }
  if (c < channels) transform_input<Size, false>(pixels, c, Lanes::first(channels - c), v, v_stride);
}

/// A vector of channels of a tile.
template <class Size, bool Full>
INSTASEG_LEVEL inline void transform_output(const float* m, int64_t m_stride, int64_t channel, Lanes::Mask mask,
                                            const TileOutput& tile) {
  constexpr int kTile = Size::kTile;
  constexpr int kWindow = Size::kWindow;
  const auto load = [&](const float* p) INSTASEG_LEVEL { return Full ? Lanes::load(p) : Lanes::load(p, mask); };
  Lanes::Vec half[kTile][kWindow];  // [y][point along x]
#pragma GCC unroll 8
  for (int x = 0; x < kWindow; ++x) {
    Lanes::Vec column[kWindow];
#pragma GCC unroll 8
    for (int y = 0; y < kWindow; ++y) column[y] = Lanes::load(m + (y * kWindow + x) * m_stride + channel);
    Lanes::Vec result[kTile];
    output_axis<Size>(column, result);
#pragma GCC unroll 8
    for (int y = 0; y < kTile; ++y) half[y][x] = result[y];
  }
  const Lanes::Vec scale = tile.scale ? load(tile.scale + channel) : Lanes::set(1.0f);
  const Lanes::Vec bias = tile.bias ? load(tile.bias + channel) : Lanes::zero();
  // Unrolled, so that all values stay in registers.
#pragma GCC unroll 8
  for (int64_t y = 0; y < kTile; ++y) {
    if (y == tile.rows) break;
    Lanes::Vec row[kTile];
    output_axis<Size>(half[y], row);
#pragma GCC unroll 8
    for (int64_t x = 0; x < kTile; ++x) {
      if (x == tile.columns) break;
      const int64_t position = y * tile.row_stride + x * tile.pixel_stride + channel;
      Lanes::Vec value = Lanes::fma(row[x], scale, bias);
      if (tile.residual) value = Lanes::add(value, load(tile.residual + position));
      if (tile.relu) value = Lanes::relu(value);
      if (Full) {
        Lanes::store(tile.output + position, value);
      } else {
        Lanes::store(tile.output + position, mask, value);
      }
    }
  }
}

template <class Size>
INSTASEG_LEVEL void transform_output_tile(const float* m, int64_t m_stride, int64_t channels, const TileOutput& tile) {
  int64_t c = 0;
  for (; c + Lanes::kCount <= channels; c += Lanes::kCount) {
    transform_output<Size, true>(m, m_stride, c, Lanes::first(Lanes::kCount), tile);
  }
  if (c < channels) transform_output<Size, false>(m, m_stride, c, Lanes::first(channels - c), tile);
}
