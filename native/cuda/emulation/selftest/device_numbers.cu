// Conversions between f32, f16, bf16 and tf32, on the device and on the host, exhaustively where the format is small.
#include <cmath>

#include "cuda/emulation/selftest/selftest.h"
#include "cuda/mma.h"
#include "cuda/numeric.h"

namespace instaseg::cuda::selftest {
namespace {

constexpr int kBlock = 256;

template <class T>
__global__ void widen_kernel(float* __restrict__ out) {
  const unsigned i = blockIdx.x * kBlock + threadIdx.x;
  out[i] = to_float(T{static_cast<uint16_t>(i)});
}

template <class T>
__global__ void narrow_kernel(const float* __restrict__ input, uint16_t* __restrict__ out,
                              uint32_t* __restrict__ pairs) {
  const unsigned i = blockIdx.x * kBlock + threadIdx.x;
  out[i] = from_float<T>(input[i]).bits;
  pairs[i] = pack_pair<T>(input[i], -input[i]);
}

// From the definition: sign, exponent bits, fraction bits.
double value_of(uint16_t bits, int fraction_bits) {
  const int exponent_bits = 15 - fraction_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

// Whether `bits` is the value nearest to x, the even one of two, or infinity from half a unit above the largest.
bool nearest(float x, uint16_t bits, int fraction_bits) {
  if (std::isnan(x)) return std::isnan(value_of(bits, fraction_bits));
  if (std::signbit(x) != ((bits & 0x8000) != 0)) return false;
  const auto magnitude = static_cast<uint16_t>(bits & 0x7fff);
  const uint16_t infinity = static_cast<uint16_t>(((1 << (15 - fraction_bits)) - 1) << fraction_bits);
  // Infinity stands where the next finite value would be.
  const auto place = [&](uint16_t m) {
    if (m < infinity) return value_of(m, fraction_bits);
    return 2 * value_of(static_cast<uint16_t>(infinity - 1), fraction_bits) -
           value_of(static_cast<uint16_t>(infinity - 2), fraction_bits);
  };
  if (magnitude > infinity) return false;
  const double distance =
      magnitude == infinity && std::fabs(x) >= place(infinity) ? 0 : std::fabs(std::fabs(x) - place(magnitude));
  for (const int step : {-1, 1}) {
    const int other = magnitude + step;
    if (other < 0 || other > infinity) continue;
    const double theirs = std::fabs(std::fabs(x) - place(static_cast<uint16_t>(other)));
    if (theirs < distance || (theirs == distance && (magnitude & 1))) return false;
  }
  return true;
}

template <class T>
void test_format(int fraction_bits) {
  const DeviceArray<float> wide(65536);
  launch(kStream, {.grid = 65536 / kBlock, .block = kBlock}, widen_kernel<T>, wide.data());
  const auto widened = wide.values();
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const double expected = value_of(static_cast<uint16_t>(bits), fraction_bits);
    for (const float actual : {widened[bits], to_float(T{static_cast<uint16_t>(bits)})}) {
      expect(std::isnan(expected) ? std::isnan(actual) : actual == expected && std::signbit(actual) == bits >> 15,
             "value of bits " + std::to_string(bits) + " is " + std::to_string(actual));
    }
  }
  // Every value of the format, the middles between neighbours and their neighbours in f32.
  std::vector<float> numbers;
  for (uint32_t bits = 0; bits + 1 < 65536; ++bits) {
    const auto low = static_cast<float>(value_of(static_cast<uint16_t>(bits), fraction_bits));
    const auto high = static_cast<float>(value_of(static_cast<uint16_t>(bits + 1), fraction_bits));
    const float middle = low + (high - low) / 2;
    numbers.insert(numbers.end(), {low, middle, std::nextafter(middle, 0.0f), std::nextafter(middle, INFINITY)});
  }
  for (const float x :
       {65504.0f, 65519.0f, 65520.0f, 65536.0f, 3.4e38f, 1e-45f, 2.9e-8f, 3e-8f, -0.0f, NAN, INFINITY}) {
    numbers.push_back(x);
  }
  while (numbers.size() % kBlock != 0) numbers.push_back(1.0f);
  const DeviceArray<float> input(numbers);
  const DeviceArray<uint16_t> narrow(numbers.size());
  const DeviceArray<uint32_t> pairs(numbers.size());
  launch(kStream, {.grid = static_cast<unsigned>(numbers.size() / kBlock), .block = kBlock}, narrow_kernel<T>,
         input.data(), narrow.data(), pairs.data());
  const auto narrowed = narrow.values();
  const auto paired = pairs.values();
  for (size_t i = 0; i < numbers.size(); ++i) {
    const float x = numbers[i];
    const uint32_t host_pair = pack_pair<T>(x, -x);
    const uint16_t both[] = {narrowed[i], from_float<T>(x).bits, static_cast<uint16_t>(paired[i]),
                             static_cast<uint16_t>(host_pair)};
    for (const uint16_t bits : both) {
      expect(nearest(x, bits, fraction_bits), "rounding of " + std::to_string(x) + " gives " + std::to_string(bits));
    }
    for (const uint32_t pair : {paired[i], host_pair}) {
      expect(nearest(-x, static_cast<uint16_t>(pair >> 16), fraction_bits), "upper half of the pair");
    }
  }
}

const Registration f16_format{"f16 conversions", [] { test_format<f16>(10); }};
const Registration bf16_format{"bf16 conversions", [] { test_format<bf16>(7); }};

__global__ void tf32_kernel(const uint32_t* __restrict__ input, uint32_t* __restrict__ out) {
  out[threadIdx.x] = to_tf32(float_of(input[threadIdx.x]));
}

const Registration tf32_rounding{
    "to_tf32 rounds to nearest, ties away from zero", [] {
      const DeviceArray<uint32_t> input(
          {0x3f800000, 0x3f800fff, 0x3f801000, 0x3f801001, 0xbf801000, 0x3fffffff, 0, 0x80000000});
      const DeviceArray<uint32_t> out(8);
      launch(kStream, {.grid = 1, .block = 8}, tf32_kernel, input.data(), out.data());
      expect_equal(out.values(),
                   {0x3f800000, 0x3f800000, 0x3f802000, 0x3f802000, 0xbf802000, 0x40000000, 0, 0x80000000}, "bits");
    }};

template <class T, int N>
__global__ void vectors_kernel(const T* __restrict__ input, T* __restrict__ out) {
  auto vec = load_vec<N>(input + threadIdx.x * N);
  for (int i = 0; i < N / 2; ++i) {
    const T swapped = vec[i];
    vec[i] = vec[N - 1 - i];
    vec[N - 1 - i] = swapped;
  }
  store_vec(out + threadIdx.x * N, vec);
}

template <class T, int N>
void test_vectors() {
  std::vector<T> numbers;
  std::vector<T> expected;
  for (int thread = 0; thread < 5; ++thread) {
    for (int i = 0; i < N; ++i) {
      numbers.push_back(static_cast<T>(thread * N + i));
      expected.push_back(static_cast<T>(thread * N + N - 1 - i));
    }
  }
  const DeviceArray<T> input(numbers);
  const DeviceArray<T> out(numbers.size());
  launch(kStream, {.grid = 1, .block = 5}, vectors_kernel<T, N>, input.data(), out.data());
  expect_equal(out.values(), expected, std::to_string(N));
}

const Registration vectors{"vectors of 1 to 16 bytes", [] {
                             test_vectors<float, 4>();
                             test_vectors<float, 2>();
                             test_vectors<float, 1>();
                             test_vectors<uint16_t, 8>();
                             test_vectors<uint16_t, 4>();
                             test_vectors<uint8_t, 16>();
                             test_vectors<uint8_t, 2>();
                           }};

}  // namespace
}  // namespace instaseg::cuda::selftest
