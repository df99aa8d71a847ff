// The interpolation behind Winograd's F(Tile x Tile, 3 x 3): Tile + 2 points of the projective line, some of them
// pairs +-p, infinity, and 0 where their number is even. See conv2d_winograd.cpp.
//
// Along one axis, with the polynomials of the pairs in t = x^2,
//   all(t) = product of (t - p^2) over all pairs,   other_i(t) = the same without pair i,
// and z = 1 where 0 is a point, else 0:
//   B^T d at 0        sum of all_j * d[2j]
//   B^T d at +-p_i    sum of other_ij * d[2j + 1 + z] +- p_i * sum of other_ij * d[2j + z]
//   B^T d at infinity sum of all_j * d[2j + z]
//   G g at a point    [1, x, x^2] . g over the product of its distances to the other points; g[2] at infinity
//   A^T m             sum of x^k * m over the points, for k from 0 to Tile - 1; infinity counts in the last only
#pragma once

#include <array>

namespace instaseg::cpu {

/// The positive points of the pairs: multiples of 1/16 around 1, found by a search for the smallest error over random
/// inputs. Their powers and the coefficients of their polynomials are exact in f32.
template <int Tile>
inline constexpr std::array<double, (Tile + 1) / 2> kWinogradPoints = {};
template <>
inline constexpr std::array<double, 2> kWinogradPoints<4> = {11.0 / 16, 11.0 / 8};
template <>
inline constexpr std::array<double, 3> kWinogradPoints<5> = {5.0 / 16, 7.0 / 8, 7.0 / 4};

template <int Tile>
struct Interpolation {
  static constexpr int kTile = Tile;                 // outputs along an axis
  static constexpr int kWindow = Tile + 2;           // inputs along an axis, and points
  static constexpr int kPoints = kWindow * kWindow;  // products
  static constexpr int kZero = Tile % 2 == 0;        // whether 0 is a point; then it is the first one
  static constexpr int kPairs = (Tile + 1) / 2;

  using Polynomial = std::array<double, kPairs + 1>;  // coefficients of t^j

  /// Product of (t - p^2) over the pairs, all of them where `without` is none.
  static constexpr Polynomial product(int without) {
    Polynomial result{1.0};
    for (int pair = 0; pair < kPairs; ++pair) {
      if (pair == without) continue;
      const double p = kWinogradPoints<Tile>[pair];
      for (int j = kPairs; j >= 0; --j) result[j] = (j > 0 ? result[j - 1] : 0.0) - p * p * result[j];
    }
    return result;
  }

  static constexpr double evaluate(const Polynomial& polynomial, double t) {
    double sum = 0;
    for (int j = kPairs; j >= 0; --j) sum = sum * t + polynomial[j];
    return sum;
  }

  struct Filter {
    double rows[kWindow][3];
  };
  static constexpr Filter filter() {
    Filter g{};
    if (kZero) g.rows[0][0] = 1.0 / product(-1)[0];
    for (int pair = 0; pair < kPairs; ++pair) {
      const double p = kWinogradPoints<Tile>[pair];
      for (int sign = 0; sign < 2; ++sign) {
        const double x = sign ? -p : p;
        double* row = g.rows[kZero + 2 * pair + sign];
        const double distances = 2.0 * x * evaluate(product(pair), p * p) * (kZero ? x : 1.0);
        row[0] = 1.0 / distances;
        row[1] = x / distances;
        row[2] = x * x / distances;
      }
    }
    g.rows[kWindow - 1][2] = 1.0;
    return g;
  }
  static constexpr Filter kFilter = filter();

  static constexpr float all(int j) { return static_cast<float>(product(-1)[j]); }
  static constexpr float other(int pair, int j) { return static_cast<float>(product(pair)[j]); }
  static constexpr float power(int pair, int exponent) {
    double result = 1;
    for (int i = 0; i < exponent; ++i) result *= kWinogradPoints<Tile>[pair];
    return static_cast<float>(result);
  }
  static constexpr bool exact() {
    for (int pair = 0; pair < kPairs; ++pair) {
      for (int j = 0; j <= kPairs; ++j) {
        if (all(j) != product(-1)[j] || other(pair, j) != product(pair)[j]) return false;
      }
      double power_of_point = 1;
      for (int i = 0; i < kTile; ++i, power_of_point *= kWinogradPoints<Tile>[pair]) {
        if (power(pair, i) != power_of_point) return false;
      }
    }
    return true;
  }
};

static_assert(Interpolation<4>::exact() && Interpolation<5>::exact());

}  // namespace instaseg::cpu
