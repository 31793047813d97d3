#include "trainer/model/initialize.h"

#include <cmath>
#include <cstring>

#include "base/sha256.h"
#include "trainer/model/parallel.h"

namespace millrace::trainer {
namespace {

// Natural logarithm for x in (0, 1), by basic arithmetic: x = m 2^e with m in [sqrt(1/2), sqrt(2)), and
// ln m = 2 (s + s^3/3 + s^5/5 + ...), s = (m - 1) / (m + 1).
double Logarithm(double x) {
  int exponent;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1) / (m + 1), square = s * s;
  double series = 0;
  for (int k = 23; k >= 1; k -= 2) series = series * square + 1.0 / k;
  return 2 * s * series + exponent * 0.69314718055994530942;
}

template <int N>
double Horner(const double (&coefficients)[N], double x) {
  double value = coefficients[N - 1];
  for (int i = N - 2; i >= 0; --i) value = value * x + coefficients[i];
  return value;
}

}  // namespace

CounterRandom::CounterRandom(uint64_t seed, absl::string_view name) {
  key_[0] = static_cast<uint32_t>(seed);
  key_[1] = static_cast<uint32_t>(seed >> 32);
  const Sha256Bytes digest = Sha256Of(name);
  for (int i = 0; i < 2; ++i) {
    stream_[i] = 0;
    for (int byte = 3; byte >= 0; --byte) stream_[i] = stream_[i] << 8 | digest[i * 4 + byte];
  }
}

uint64_t CounterRandom::Bits(uint64_t index) const {
  uint32_t x[4] = {static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), stream_[0], stream_[1]};
  uint32_t key[2] = {key_[0], key_[1]};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * x[0], b = uint64_t{0xCD9E8D57} * x[2];
    const uint32_t next[4] = {static_cast<uint32_t>(b >> 32) ^ x[1] ^ key[0], static_cast<uint32_t>(b),
                              static_cast<uint32_t>(a >> 32) ^ x[3] ^ key[1], static_cast<uint32_t>(a)};
    std::memcpy(x, next, sizeof(x));
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return uint64_t{x[1]} << 32 | x[0];
}

double CounterRandom::Uniform(uint64_t index) const { return (static_cast<double>(Bits(index) >> 11) + 0.5) * 0x1p-53; }

double CounterRandom::Normal(uint64_t index) const { return InverseNormal(Uniform(index)); }

double InverseNormal(double probability) {
  // The coefficients of PPND16.
  static constexpr double kA[] = {3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3,
                                  1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                  3.3430575583588128105e+4, 2.5090809287301226727e+3};
  static constexpr double kB[] = {1.0,
                                  4.2313330701600911252e+1,
                                  6.8718700749205790830e+2,
                                  5.3941960214247511077e+3,
                                  2.1213794301586595867e+4,
                                  3.9307895800092710610e+4,
                                  2.8729085735721942674e+4,
                                  5.2264952788528545610e+3};
  static constexpr double kC[] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                                  3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                                  2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr double kD[] = {1.0,
                                  2.05319162663775882187e0,
                                  1.67638483018380384940e0,
                                  6.89767334985100004550e-1,
                                  1.48103976427480074590e-1,
                                  1.51986665636164571966e-2,
                                  5.47593808499534494600e-4,
                                  1.05075007164441684324e-9};
  static constexpr double kE[] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                                  2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                  2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static constexpr double kF[] = {1.0,
                                  5.99832206555887937690e-1,
                                  1.36929880922735805310e-1,
                                  1.48753612908506148525e-2,
                                  7.86869131145613259100e-4,
                                  1.84631831751005468180e-5,
                                  1.42151175831644588870e-7,
                                  2.04426310338993978564e-15};
  const double q = probability - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * Horner(kA, r) / Horner(kB, r);
  }
  const double r = std::sqrt(-Logarithm(q < 0 ? probability : 1 - probability));
  const double tail = r <= 5 ? Horner(kC, r - 1.6) / Horner(kD, r - 1.6) : Horner(kE, r - 5) / Horner(kF, r - 5);
  return q < 0 ? -tail : tail;
}

void FillNormal(uint64_t seed, absl::string_view name, double standard_deviation, int64_t begin, int64_t count,
                float* values) {
  const CounterRandom random(seed, name);
  ParallelRange(count, 1 << 12, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      values[i] = static_cast<float>(random.Normal(static_cast<uint64_t>(begin + i)) * standard_deviation);
    }
  });
}

}  // namespace millrace::trainer
