// The loss and every gradient of whole models, block by block, against autograd of a plain model in float64; and the
// same bits on one and two threads.
#include "trainer/model/model.h"

#include <cmath>
#include <cstring>
#include <map>
#include <string>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "gtest/gtest.h"

namespace millrace::trainer {
namespace {

class Model : public testing::Test {
 protected:
  void SetUp() override { at::manual_seed(1); }  // LibTorch's own choice differs from run to run
};

NamedTensors Initialized(const std::vector<std::unique_ptr<Block>>& model, uint64_t seed) {
  NamedTensors weights;
  for (const ParameterSpec& parameter : ModelParameters(model)) {
    at::Tensor tensor = at::empty(parameter.shape, at::kFloat);
    InitializeRange(parameter, seed, 0, tensor.numel(), tensor.data_ptr<float>());
    // Norms that are all 1 would hide mistakes.
    if (!parameter.is_matrix) tensor.add_(at::randn(parameter.shape) * 0.1);
    weights[parameter.name] = tensor;
  }
  return weights;
}

struct Result {
  float loss = 0;
  NamedTensors gradients;
};

// One step over the leaf, as the runtime does it; contributions to one name are added.
Result ForwardBackward(const std::vector<std::unique_ptr<Block>>& model, const NamedTensors& weights,
                       const Leaf& leaf) {
  const size_t count = model.size();
  std::vector<at::Tensor> activations(count + 1);
  std::vector<Saved> saved(count);
  std::vector<std::vector<at::Tensor>> block_weights;
  for (size_t i = 0; i < count; ++i) {
    block_weights.push_back(WeightsOf(*model[i], weights));
    model[i]->Forward(block_weights[i], leaf, activations[i], activations[i + 1], saved[i]);
  }
  Result result;
  result.loss = activations[count].item<float>();
  at::Tensor gradient;
  for (size_t i = count; i-- > 0;) {
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& weight : block_weights[i]) gradients.push_back(at::full_like(weight, NAN));
    at::Tensor grad_in;
    model[i]->Backward(block_weights[i], leaf, activations[i], gradient, grad_in, gradients, saved[i]);
    gradient = grad_in;
    for (size_t p = 0; p < gradients.size(); ++p) {
      at::Tensor& sum = result.gradients[model[i]->parameters()[p].name];
      sum = sum.defined() ? sum + gradients[p] : gradients[p];
    }
  }
  return result;
}

// The same model with LibTorch's operators.
at::Tensor PlainLoss(const ModelConfig& c, const NamedTensors& w, const Leaf& leaf) {
  const int64_t s = leaf.sequences, t = leaf.length, d = c.head_dim();
  const auto norm = [&](const at::Tensor& x, const std::string& name) {
    return w.at(name) * (x * at::rsqrt(x.pow(2).mean(-1, true) + c.rms_norm_eps));
  };
  const at::Tensor frequency =
      (at::pow(c.rope_theta, at::arange(0, d, 2, at::kDouble) / static_cast<double>(d)).to(at::kFloat).reciprocal() /
       c.rope_linear_factor);
  const at::Tensor angle = (leaf.positions_M.to(at::kFloat).view({s, 1, t, 1}) * frequency).to(at::kDouble);
  const at::Tensor cos = at::cat({angle.cos(), angle.cos()}, -1), sin = at::cat({angle.sin(), angle.sin()}, -1);
  const auto rotate = [&](const at::Tensor& x) {
    const auto halves = x.chunk(2, -1);
    return x * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
  };
  const at::Tensor key = at::arange(t).view({1, 1, t});
  const at::Tensor from =
      leaf.attend_from_M.defined() ? leaf.attend_from_M.view({s, t, 1}) : at::zeros({1, 1, 1}, at::kInt);
  const at::Tensor hidden = (key > at::arange(t).view({1, t, 1})).logical_or(key < from).unsqueeze(1);
  const int64_t group = c.num_attention_heads / c.num_key_value_heads;
  at::Tensor x = at::embedding(w.at("model.embed_tokens.weight"), leaf.ids_M);
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const std::string p = "model.layers." + std::to_string(layer) + ".";
    const at::Tensor h = norm(x, p + "input_layernorm.weight");
    const auto heads = [&](const std::string& name) {
      return at::linear(h, w.at(p + "self_attn." + name + "_proj.weight")).view({s, t, -1, d}).transpose(1, 2);
    };
    const at::Tensor q = rotate(heads("q")), k = rotate(heads("k")).repeat_interleave(group, 1);
    const at::Tensor v = heads("v").repeat_interleave(group, 1);
    const at::Tensor scores =
        (q.matmul(k.transpose(-1, -2)) / std::sqrt(static_cast<double>(d))).masked_fill(hidden, -INFINITY);
    const at::Tensor attended = scores.softmax(-1).matmul(v).transpose(1, 2).reshape({s * t, -1});
    x = x + at::linear(attended, w.at(p + "self_attn.o_proj.weight"));
    const at::Tensor h2 = norm(x, p + "post_attention_layernorm.weight");
    x = x + at::linear(at::silu(at::linear(h2, w.at(p + "mlp.gate_proj.weight"))) *
                           at::linear(h2, w.at(p + "mlp.up_proj.weight")),
                       w.at(p + "mlp.down_proj.weight"));
  }
  const at::Tensor logits = at::linear(norm(x, "model.norm.weight"),
                                       w.at(c.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight"));
  return at::cross_entropy_loss(logits, leaf.targets_M, {}, at::Reduction::Sum, -1);
}

struct Case {
  std::string name;
  ModelConfig config;
  int64_t sequences, length;
  int chunk;
  bool documents;
};

Leaf MakeLeaf(const Case& c) {
  Leaf leaf;
  leaf.sequences = c.sequences;
  leaf.length = c.length;
  const int64_t rows = c.sequences * c.length;
  leaf.ids_M = at::randint(0, c.config.vocab_size, {rows}, at::kLong);
  leaf.targets_M = at::randint(0, c.config.vocab_size, {rows}, at::kLong);
  leaf.targets_M[0] = -1;
  leaf.targets_M[rows / 2] = -1;
  leaf.positions_M = at::arange(c.length, at::kInt).repeat({c.sequences});
  if (c.documents) {
    const at::Tensor start = leaf.positions_M.div(19, "floor") * 19;
    leaf.attend_from_M = start.to(at::kInt);
    leaf.positions_M = (leaf.positions_M - start).to(at::kInt);
  }
  leaf.loss_divisor = 0.7 * static_cast<double>(rows);
  return leaf;
}

TEST_F(Model, LossAndGradientsAgainstAutograd) {
  const Case cases[] = {
      {"multi-head", {2, 32, 48, 4, 4, 61, 64, 10000, 1e-6, 0.1, false, 1}, 2, 40, 1024, false},
      {"grouped, chunks, linear rope", {3, 48, 80, 6, 2, 53, 64, 100000, 1e-6, 0.1, false, 4}, 2, 37, 16, false},
      {"tied, documents", {2, 64, 96, 2, 1, 70, 80, 10000, 1e-5, 0.1, true, 1}, 1, 80, 27, true},
      {"one layer, one token", {1, 16, 8, 1, 1, 20, 4, 10000, 1e-6, 0.1, true, 1}, 3, 1, 2, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto model = BuildModel(c.config, c.chunk);
    const NamedTensors weights = Initialized(model, 3);
    const Leaf leaf = MakeLeaf(c);
    at::set_num_threads(1);
    const Result one = ForwardBackward(model, weights, leaf);
    at::set_num_threads(2);
    const Result two = ForwardBackward(model, weights, leaf);
    EXPECT_EQ(one.loss, two.loss);

    NamedTensors reference;
    for (const auto& [name, tensor] : weights) reference[name] = tensor.to(at::kDouble).set_requires_grad(true);
    const at::Tensor loss = PlainLoss(c.config, reference, leaf);
    (loss / leaf.loss_divisor).backward();
    EXPECT_NEAR(one.loss, loss.item<double>(), 1e-5 * loss.item<double>());
    ASSERT_EQ(one.gradients.size(), reference.size());
    for (const auto& [name, gradient] : one.gradients) {
      EXPECT_EQ(std::memcmp(gradient.data_ptr(), two.gradients.at(name).data_ptr(), gradient.nbytes()), 0) << name;
      const at::Tensor expected = reference.at(name).grad();
      const double error = ((gradient - expected).norm() / (expected.norm() + 0.01)).item<double>();
      EXPECT_TRUE(error < 1e-5) << name << ": relative error " << error;
    }
  }
}

TEST_F(Model, InferenceAgreesWithForward) {
  const Case c = {"", {2, 32, 48, 4, 2, 61, 64, 10000, 1e-6, 0.1, false, 1}, 2, 30, 7, false};
  const auto model = BuildModel(c.config, c.chunk);
  const NamedTensors weights = Initialized(model, 4);
  const Leaf leaf = MakeLeaf(c);
  Inference inference(c.config, weights, c.chunk);
  std::vector<float> losses(60);
  inference.RowLosses(leaf, losses.data());
  double sum = 0;
  for (float loss : losses) sum += loss;
  EXPECT_NEAR(sum, ForwardBackward(model, weights, leaf).loss, 1e-4);
  // Rows of logits give the same losses.
  at::Tensor logits = at::empty({5, c.config.vocab_size});
  inference.Logits(leaf, 40, 5, logits.data_ptr<float>());
  const at::Tensor row_losses =
      at::cross_entropy_loss(logits, leaf.targets_M.narrow(0, 40, 5), {}, at::Reduction::None, -1);
  for (int64_t i = 0; i < 5; ++i) EXPECT_NEAR(row_losses[i].item<float>(), losses[40 + i], 1e-5);
}

TEST_F(Model, InitializationFollowsTheConfig) {
  const ModelConfig config = {8, 64, 128, 2, 2, 500, 64, 10000, 1e-6, 0.06, false, 1};
  for (const ParameterSpec& parameter : ModelParameters(BuildModel(config, 8))) {
    at::Tensor tensor = at::empty(parameter.shape, at::kFloat);
    InitializeRange(parameter, 1, 0, tensor.numel(), tensor.data_ptr<float>());
    const bool residual =
        parameter.name.find("o_proj") != std::string::npos || parameter.name.find("down_proj") != std::string::npos;
    const double expected = residual ? 0.015 : 0.06;
    if (parameter.is_matrix) {
      EXPECT_NEAR(tensor.std().item<double>() / expected, 1, 0.06) << parameter.name;
    } else {
      EXPECT_TRUE(tensor.eq(1).all().item<bool>()) << parameter.name;
    }
  }
}

}  // namespace
}  // namespace millrace::trainer
