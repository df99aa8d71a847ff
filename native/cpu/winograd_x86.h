// The transforms of Winograd's convolution, for the level that the includer names (see lanes.h).

/// B^T along one axis: d and v are six vectors, `step` apart.
INSTASEG_LEVEL inline void input_axis(const Lanes::Vec* d, int step, Lanes::Vec* v) {
  const Lanes::Vec d1 = d[1 * step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
  v[0] = Lanes::fma(Lanes::set(kProduct), d[0], Lanes::fnma(Lanes::set(kSum), d2, d4));
  const Lanes::Vec even_a = Lanes::fnma(Lanes::set(kB2), d2, d4);
  const Lanes::Vec odd_a = Lanes::fnma(Lanes::set(kB2), d1, d3);
  v[1] = Lanes::fma(Lanes::set(kA), odd_a, even_a);
  v[2] = Lanes::fnma(Lanes::set(kA), odd_a, even_a);
  const Lanes::Vec even_b = Lanes::fnma(Lanes::set(kA2), d2, d4);
  const Lanes::Vec odd_b = Lanes::fnma(Lanes::set(kA2), d1, d3);
  v[3] = Lanes::fma(Lanes::set(kB), odd_b, even_b);
  v[4] = Lanes::fnma(Lanes::set(kB), odd_b, even_b);
  v[5] = Lanes::fma(Lanes::set(kProduct), d1, Lanes::fnma(Lanes::set(kSum), d3, d[5 * step]));
}

/// A^T along one axis.
INSTASEG_LEVEL inline void output_axis(const Lanes::Vec* m, Lanes::Vec* y) {
  const Lanes::Vec even_a = Lanes::add(m[1], m[2]);
  const Lanes::Vec odd_a = Lanes::subtract(m[1], m[2]);
  const Lanes::Vec even_b = Lanes::add(m[3], m[4]);
  const Lanes::Vec odd_b = Lanes::subtract(m[3], m[4]);
  y[0] = Lanes::add(Lanes::add(m[0], even_a), even_b);
  y[1] = Lanes::fma(Lanes::set(kA), odd_a, Lanes::multiply(Lanes::set(kB), odd_b));
  y[2] = Lanes::fma(Lanes::set(kA2), even_a, Lanes::multiply(Lanes::set(kB2), even_b));
  y[3] = Lanes::fma(Lanes::set(kA2 * kA), odd_a, Lanes::fma(Lanes::set(kB2 * kB), odd_b, m[5]));
}

/// V of a vector of channels of a tile; `pixels` are the 36 input pixels.
template <bool Full>
INSTASEG_LEVEL inline void transform_input(const float* const* pixels, int64_t channel, Lanes::Mask mask, float* v,
                                           int64_t v_stride) {
  Lanes::Vec d[kWindow];
  Lanes::Vec half[kPoints];  // [x][point along y]
#pragma GCC unroll 6
  for (int x = 0; x < kWindow; ++x) {
#pragma GCC unroll 6
    for (int y = 0; y < kWindow; ++y) {
      const float* pixel = pixels[y * kWindow + x] + channel;
      d[y] = Full ? Lanes::load(pixel) : Lanes::load(pixel, mask);
    }
    input_axis(d, 1, half + x * kWindow);
  }
#pragma GCC unroll 6
  for (int y = 0; y < kWindow; ++y) {
    Lanes::Vec row[kWindow];
    input_axis(half + y, kWindow, row);
#pragma GCC unroll 6
    for (int x = 0; x < kWindow; ++x) Lanes::store(v + (y * kWindow + x) * v_stride + channel, row[x]);
  }
}

INSTASEG_LEVEL void transform_input_tile(const float* const* pixels, int64_t channels, float* v, int64_t v_stride) {
  int64_t c = 0;
  for (; c + Lanes::kCount <= channels; c += Lanes::kCount) {
    transform_input<true>(pixels, c, Lanes::first(Lanes::kCount), v, v_stride);
  }
  if (c < channels) transform_input<false>(pixels, c, Lanes::first(channels - c), v, v_stride);
}

/// A vector of channels of a tile.
template <bool Full>
INSTASEG_LEVEL inline void transform_output(const float* m, int64_t m_stride, int64_t channel, Lanes::Mask mask,
                                            const TileOutput& tile) {
  const auto load = [&](const float* p) INSTASEG_LEVEL { return Full ? Lanes::load(p) : Lanes::load(p, mask); };
  Lanes::Vec half[kTile][kWindow];  // [y][point along x]
#pragma GCC unroll 6
  for (int x = 0; x < kWindow; ++x) {
    Lanes::Vec column[kWindow];
#pragma GCC unroll 6
    for (int y = 0; y < kWindow; ++y) column[y] = Lanes::load(m + (y * kWindow + x) * m_stride + channel);
    Lanes::Vec result[kTile];
    output_axis(column, result);
#pragma GCC unroll 4
    for (int y = 0; y < kTile; ++y) half[y][x] = result[y];
  }
  const Lanes::Vec scale = tile.scale ? load(tile.scale + channel) : Lanes::set(1.0f);
  const Lanes::Vec bias = tile.bias ? load(tile.bias + channel) : Lanes::zero();
  // Unrolled, so that all values stay in registers.
#pragma GCC unroll 4
  for (int64_t y = 0; y < kTile; ++y) {
    if (y == tile.rows) break;
    Lanes::Vec row[kTile];
    output_axis(half[y], row);
#pragma GCC unroll 4
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

INSTASEG_LEVEL void transform_output_tile(const float* m, int64_t m_stride, int64_t channels, const TileOutput& tile) {
  int64_t c = 0;
  for (; c + Lanes::kCount <= channels; c += Lanes::kCount) {
    transform_output<true>(m, m_stride, c, Lanes::first(Lanes::kCount), tile);
  }
  if (c < channels) transform_output<false>(m, m_stride, c, Lanes::first(channels - c), tile);
}
