// Each kernel against LibTorch's autograd in float64 on generated inputs, and on one and two threads: the same bits.
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "gtest/gtest.h"
#include "trainer/model/attention.h"
#include "trainer/model/cross_entropy.h"
#include "trainer/model/embedding.h"
#include "trainer/model/gemm.h"
#include "trainer/model/rms_norm.h"
#include "trainer/model/rope.h"
#include "trainer/model/simd.h"
#include "trainer/model/swiglu.h"

namespace millrace::trainer {
namespace {

class Seeded : public testing::Test {
 protected:
  void SetUp() override { at::manual_seed(1); }  // LibTorch's own choice differs from run to run
};

at::Tensor Random(at::IntArrayRef shape, double scale = 1) { return at::randn(shape, at::kFloat) * scale; }
at::Tensor Reference(const at::Tensor& tensor) { return tensor.to(at::kDouble).set_requires_grad(true); }
float* Data(const at::Tensor& tensor) { return tensor.data_ptr<float>(); }

// |a - b| at most `tolerance` times the largest |b|.
void ExpectClose(const at::Tensor& actual, const at::Tensor& expected, double tolerance, const std::string& what) {
  const double scale = expected.abs().max().item<double>() + 1e-30;
  const double error = (actual.to(at::kDouble) - expected.detach()).abs().max().item<double>() / scale;
  EXPECT_TRUE(error <= tolerance) << what << ": relative error " << error << ", tolerance " << tolerance;
}

// Runs `kernel`, which returns its outputs, on one and on two threads; the bits must be the same.
std::vector<at::Tensor> OnOneAndTwoThreads(const std::function<std::vector<at::Tensor>()>& kernel) {
  at::set_num_threads(1);
  std::vector<at::Tensor> one = kernel();
  at::set_num_threads(2);
  const std::vector<at::Tensor> two = kernel();
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(std::memcmp(one[i].data_ptr(), two[i].data_ptr(), one[i].nbytes()), 0) << "output " << i;
  }
  return one;
}

TEST_F(Seeded, ExpIsAccurate) {
  double worst = 0;
  for (double x = -87.3; x < 88.3; x += 0.00137) {
    float out[8];
    _mm256_storeu_ps(out, simd::Exp(_mm256_set1_ps(static_cast<float>(x))));
    const double expected = std::exp(static_cast<double>(static_cast<float>(x)));
    worst = std::max(worst, std::fabs(out[0] - expected) / expected);
  }
  EXPECT_LT(worst, 1.8e-7);
  float out[8];
  _mm256_storeu_ps(out, simd::Exp(_mm256_setr_ps(-INFINITY, -88, 0, NAN, -1000, 100, -0.0f, -87.4f)));
  EXPECT_EQ(out[0], 0);
  EXPECT_EQ(out[1], 0);
  EXPECT_EQ(out[2], 1);
  EXPECT_TRUE(std::isnan(out[3]));
  EXPECT_EQ(out[4], 0);
  EXPECT_TRUE(std::isfinite(out[5]));
  EXPECT_EQ(out[6], 1);
  EXPECT_EQ(out[7], 0);
}

TEST_F(Seeded, GemmAllLayoutsAndStrides) {
  const int64_t m = 7, n = 9, k = 5;
  const at::Tensor a = Random({m, k}), b = Random({k, n}), c = Random({m, n + 3});
  const at::Tensor product = a.mm(b);
  const at::Tensor at_ = a.t().contiguous(), bt = b.t().contiguous();
  at::Tensor out = c.clone();
  GemmNn(m, n, k, {Data(a), k}, {Data(b), n}, {Data(out), n + 3}, Output::kSet);
  ExpectClose(out.narrow(1, 0, n), product, 1e-6, "Nn");
  EXPECT_TRUE(out.narrow(1, n, 3).equal(c.narrow(1, n, 3)));
  out = c.clone();
  GemmNt(m, n, k, {Data(a), k}, {Data(bt), k}, {Data(out), n + 3}, Output::kAdd);
  ExpectClose(out.narrow(1, 0, n), product + c.narrow(1, 0, n), 1e-6, "Nt");
  out = c.clone();
  GemmTn(m, n, k, {Data(at_), m}, {Data(b), n}, {Data(out), n + 3}, Output::kSet);
  ExpectClose(out.narrow(1, 0, n), product, 1e-6, "Tn");
}

TEST_F(Seeded, RmsNormAgainstAutograd) {
  for (const auto& [rows, hidden] : {std::pair<int64_t, int64_t>{1, 16}, {3, 8}, {130, 96}, {200, 128}, {5, 131}}) {
    for (const bool with_residual : {false, true}) {
      const at::Tensor x = Random({rows, hidden}), w = Random({hidden}), dy = Random({rows, hidden});
      const at::Tensor residual = Random({rows, hidden});
      const auto results = OnOneAndTwoThreads([&]() -> std::vector<at::Tensor> {
        at::Tensor y = at::empty_like(x), inverse = at::empty({rows}), dx = residual.clone(), dw = at::empty_like(w);
        RmsNormForward(rows, hidden, 1e-6f, Data(x), Data(w), Data(y), Data(inverse));
        RmsNormBackward(rows, hidden, Data(x), Data(w), Data(inverse), Data(dy), with_residual ? Data(dx) : nullptr,
                        Data(dx), Data(dw));
        return {y, dx, dw};
      });
      const at::Tensor rx = Reference(x), rw = Reference(w);
      const at::Tensor ry = rw * (rx * at::rsqrt(rx.pow(2).mean(-1, true) + 1e-6));
      ry.backward(dy.to(at::kDouble));
      ExpectClose(results[0], ry, 1e-6, "y");
      ExpectClose(results[1], with_residual ? rx.grad() + residual : rx.grad(), 2e-6, "dx");
      ExpectClose(results[2], rw.grad(), 2e-6, "dw");
    }
  }
}

TEST_F(Seeded, SwigluAgainstAutograd) {
  for (const int64_t count : {1, 7, 8, 1000, 70003}) {
    const at::Tensor gate = Random({count}, 3), up = Random({count}), d = Random({count});
    const auto results = OnOneAndTwoThreads([&]() -> std::vector<at::Tensor> {
      at::Tensor out = at::empty_like(gate), dg = d.clone(), du = at::empty_like(gate);
      SwigluForward(count, Data(gate), Data(up), Data(out));
      SwigluBackward(count, Data(gate), Data(up), Data(dg), Data(dg), Data(du));
      return {out, dg, du};
    });
    const at::Tensor rg = Reference(gate), ru = Reference(up);
    const at::Tensor out = at::silu(rg) * ru;
    out.backward(d.to(at::kDouble));
    ExpectClose(results[0], out, 1e-6, "activation");
    ExpectClose(results[1], rg.grad(), 1e-6, "gate");
    ExpectClose(results[2], ru.grad(), 1e-6, "up");
  }
}

TEST_F(Seeded, CrossEntropyAgainstAutograd) {
  for (const auto& [rows, vocabulary] : {std::pair<int64_t, int64_t>{2, 2}, {5, 31}, {33, 320}, {9, 5003}}) {
    const at::Tensor logits = Random({rows, vocabulary}, 4);
    at::Tensor targets = at::randint(0, vocabulary, {rows}, at::kLong);
    if (rows > 2) targets[1] = -1;
    const double divisor = 17.5;
    const auto results = OnOneAndTwoThreads([&]() -> std::vector<at::Tensor> {
      at::Tensor work = logits.clone(), loss = at::empty({rows}), sum = at::empty({rows});
      CrossEntropyForward(rows, vocabulary, targets.data_ptr<int64_t>(), Data(work), Data(loss), Data(sum));
      CrossEntropyBackward(rows, vocabulary, targets.data_ptr<int64_t>(), Data(sum), divisor, Data(work));
      return {loss, work};
    });
    const at::Tensor reference = Reference(logits);
    const at::Tensor loss = at::cross_entropy_loss(reference, targets, {}, at::Reduction::None, -1);
    (loss.sum() / divisor).backward();
    EXPECT_LT((results[0] - loss).abs().max().item<double>(), 2e-6);
    ExpectClose(results[1], reference.grad(), 1e-6, "gradient");
  }
}

TEST_F(Seeded, EmbeddingAgainstAutograd) {
  const int64_t rows = 500, vocabulary = 40, hidden = 130;
  const at::Tensor table = Random({vocabulary, hidden}), d = Random({rows, hidden});
  const at::Tensor ids = at::randint(0, vocabulary, {rows}, at::kLong);
  const auto results = OnOneAndTwoThreads([&]() -> std::vector<at::Tensor> {
    at::Tensor out = at::empty({rows, hidden}), gradient = at::empty_like(table);
    EmbeddingForward(rows, hidden, ids.data_ptr<int64_t>(), Data(table), Data(out));
    EmbeddingBackward(rows, vocabulary, hidden, ids.data_ptr<int64_t>(), Data(d), Data(gradient));
    return {out, gradient};
  });
  const at::Tensor reference = Reference(table);
  const at::Tensor out = at::embedding(reference, ids);
  out.backward(d.to(at::kDouble));
  EXPECT_TRUE(results[0].equal(table.index({ids})));
  ExpectClose(results[1], reference.grad(), 1e-6, "gradient");
}

TEST_F(Seeded, RopeUnrotateIsTheInverse) {
  const RopeTable rope(10, 50, 10000, 4);
  const at::Tensor x = Random({10});
  at::Tensor y = at::empty({10});
  rope.Rotate(37, 2.0f, Data(x), Data(y));
  rope.Unrotate(37, 0.5f, Data(y), Data(y));
  ExpectClose(y, x.to(at::kDouble), 1e-6, "round trip");
  // Positions divided by 4: position 4 turns the first pair by one radian.
  EXPECT_FLOAT_EQ(rope.cos(4)[0], std::cos(1.0f));
}

struct AttentionCase {
  int64_t sequences, length, heads, kv_heads, dim;
  bool documents;
};

// Rotary embedding and attention of a whole matrix, in float64.
at::Tensor PlainAttention(const AttentionCase& c, const at::Tensor& qkv, const at::Tensor& positions,
                          const at::Tensor& attend_from) {
  const int64_t s = c.sequences, t = c.length, d = c.dim;
  const auto parts =
      qkv.view({s, t, c.heads + 2 * c.kv_heads, d}).split_with_sizes({c.heads, c.kv_heads, c.kv_heads}, 2);
  const at::Tensor frequency =
      at::pow(10000.0, at::arange(0, d, 2, at::kDouble) / static_cast<double>(d)).to(at::kFloat).reciprocal();
  const at::Tensor angle = (positions.to(at::kFloat).view({s, t, 1, 1}) * frequency).to(at::kDouble);
  const at::Tensor cos = at::cat({angle.cos(), angle.cos()}, -1), sin = at::cat({angle.sin(), angle.sin()}, -1);
  const auto rotate = [&](const at::Tensor& x) {
    const auto halves = x.chunk(2, -1);
    return x * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
  };
  const int64_t group = c.heads / c.kv_heads;
  const at::Tensor q = rotate(parts[0]).transpose(1, 2);
  const at::Tensor k = rotate(parts[1]).transpose(1, 2).repeat_interleave(group, 1);
  const at::Tensor v = parts[2].transpose(1, 2).repeat_interleave(group, 1);
  const at::Tensor key = at::arange(t).view({1, 1, t});
  const at::Tensor hidden = (key > at::arange(t).view({1, t, 1})).logical_or(key < attend_from.view({s, t, 1}));
  const at::Tensor scores =
      (q.matmul(k.transpose(-1, -2)) / std::sqrt(static_cast<double>(d))).masked_fill(hidden.unsqueeze(1), -INFINITY);
  return scores.softmax(-1).matmul(v).transpose(1, 2).reshape({s * t, c.heads * d});
}

TEST_F(Seeded, AttentionAgainstAutograd) {
  const AttentionCase cases[] = {
      {1, 1, 1, 1, 16, false},   {2, 5, 2, 2, 8, false},     {1, 24, 4, 2, 24, false},   {2, 67, 4, 4, 32, false},
      {1, 130, 2, 1, 64, false}, {1, 300, 2, 2, 128, false}, {3, 33, 7, 1, 16, false},   {1, 257, 2, 2, 20, false},
      {1, 129, 3, 3, 6, false},  {2, 150, 4, 2, 48, true},   {1, 400, 2, 2, 64, true},   {1, 512, 2, 1, 40, true},
      {1, 128, 2, 2, 64, false}, {2, 96, 8, 2, 12, true},    {1, 200, 2, 1, 100, false}, {1, 144, 1, 1, 2, true},
  };
  for (const AttentionCase& c : cases) {
    const int64_t rows = c.sequences * c.length, width = (c.heads + 2 * c.kv_heads) * c.dim;
    const std::string name = "S" + std::to_string(c.sequences) + " T" + std::to_string(c.length) + " N" +
                             std::to_string(c.heads) + " K" + std::to_string(c.kv_heads) + " D" + std::to_string(c.dim);
    const at::Tensor qkv = Random({rows, width}, 1.5), d = Random({rows, c.heads * c.dim});
    at::Tensor positions = at::arange(c.length, at::kInt).repeat({c.sequences});
    at::Tensor attend_from = at::zeros({rows}, at::kInt);
    if (c.documents) {
      // Documents of uneven lengths, across tile borders; positions within the document.
      for (int64_t s = 0; s < c.sequences; ++s) {
        for (int64_t t = 0, start = 0, length = 17 + 3 * s; t < c.length; ++t) {
          if (t == start + length) {
            start = t;
            length = length * 2 + 5;
          }
          attend_from[s * c.length + t] = start;
          positions[s * c.length + t] = t - start;
        }
      }
    }
    const RopeTable rope(c.dim, c.length, 10000, 1);
    const AttentionInput input = {{c.sequences, c.length, c.heads, c.kv_heads, c.dim},
                                  &rope,
                                  Data(qkv),
                                  positions.data_ptr<int32_t>(),
                                  c.documents ? attend_from.data_ptr<int32_t>() : nullptr};
    const auto results = OnOneAndTwoThreads([&]() -> std::vector<at::Tensor> {
      at::Tensor out = at::empty_like(d), log_sum = at::empty({c.sequences * c.heads * c.length});
      at::Tensor gradient = at::full_like(qkv, NAN);
      AttentionForward(input, Data(out), Data(log_sum));
      AttentionBackward(input, Data(out), Data(log_sum), Data(d), Data(gradient));
      return {out, gradient};
    });
    const at::Tensor reference = Reference(qkv);
    const at::Tensor out = PlainAttention(c, reference, positions, attend_from);
    out.backward(d.to(at::kDouble));
    ExpectClose(results[0], out, 3e-6, name + " out");
    ExpectClose(results[1], reference.grad(), 5e-6, name + " gradient");
  }
}

}  // namespace
}  // namespace millrace::trainer
