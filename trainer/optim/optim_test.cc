// AdamW against LibTorch's own step and against float64; ranges against the whole; partial sums against plain ones.
#include <cmath>
#include <vector>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "ATen/ops/_fused_adamw.h"
#include "gtest/gtest.h"
#include "trainer/optim/adamw.h"
#include "trainer/optim/norm.h"

namespace millrace::trainer {
namespace {

class Optim : public testing::Test {
 protected:
  void SetUp() override { at::manual_seed(1); }
};

TEST_F(Optim, AdamWAgainstLibTorch) {
  const int64_t count = 100003;
  at::Tensor parameter = at::randn({count}), m = at::zeros({count}), v = at::zeros({count});
  at::Tensor other = parameter.clone(), other_m = m.clone(), other_v = v.clone(), step = at::zeros({});
  for (int64_t s = 1; s <= 10; ++s) {
    const at::Tensor gradient = at::randn({count}) * std::pow(10.0, static_cast<double>(s % 4) - 3);
    AdamWOptions options;
    options.learning_rate = 3e-3 / static_cast<double>(s);
    options.weight_decay = 0.1;
    options.step = s;
    options.gradient_scale = 0.5;
    AdamWStep(options, count, gradient.data_ptr<float>(), parameter.data_ptr<float>(), m.data_ptr<float>(),
              v.data_ptr<float>());
    step += 1;
    std::vector<at::Tensor> p = {other}, g = {gradient * 0.5}, em = {other_m}, ev = {other_v}, none, st = {step};
    at::_fused_adamw_(p, g, em, ev, none, st, options.learning_rate, options.beta1, options.beta2, options.weight_decay,
                      options.epsilon, false, false);
    EXPECT_LT((parameter - other).abs().max().item<float>(), 1e-6) << s;
    EXPECT_LT(((v - other_v).abs() / (other_v + 1e-12)).max().item<float>(), 1e-5) << s;
  }
}

TEST_F(Optim, ARangeHasTheBitsOfTheWhole) {
  const int64_t count = 5000;
  const at::Tensor gradient = at::randn({count}), start = at::randn({count});
  AdamWOptions options;
  options.learning_rate = 1e-3;
  at::Tensor whole = start.clone(), m = at::zeros({count}), v = at::zeros({count});
  at::set_num_threads(2);
  AdamWStep(options, count, gradient.data_ptr<float>(), whole.data_ptr<float>(), m.data_ptr<float>(),
            v.data_ptr<float>());
  at::Tensor parts = start.clone();
  m.zero_();
  v.zero_();
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 1}, {1, 1003}, {1003, 5000}}) {
    AdamWStep(options, end - begin, gradient.data_ptr<float>() + begin, parts.data_ptr<float>() + begin,
              m.data_ptr<float>() + begin, v.data_ptr<float>() + begin);
  }
  EXPECT_TRUE(whole.equal(parts));
}

TEST_F(Optim, SumOfSquaresByBlocks) {
  for (const int64_t count : {1, 4095, 4096, 4097, 100001}) {
    const at::Tensor values = at::randn({count});
    std::vector<double> sums(NormBlocks(count)), again(NormBlocks(count));
    at::set_num_threads(2);
    SumOfSquaresBlocks(count, values.data_ptr<float>(), sums.data());
    at::set_num_threads(1);
    SumOfSquaresBlocks(count, values.data_ptr<float>(), again.data());
    EXPECT_EQ(sums, again);
    double total = 0;
    for (double sum : sums) total += sum;
    const double expected = values.to(at::kDouble).pow(2).sum().item<double>();
    EXPECT_NEAR(total, expected, 1e-12 * expected);
  }
}

TEST_F(Optim, ClipFactorBoundsTheNorm) {
  EXPECT_EQ(ClipFactor(0.5, 1), 1);
  EXPECT_NEAR(ClipFactor(4, 1), 0.25, 1e-6);
  EXPECT_EQ(ClipFactor(4, 0), 1);
}

}  // namespace
}  // namespace millrace::trainer
