#include "trainer/model/decoder_layer_block.h"

#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "trainer/model/attention.h"
#include "trainer/model/gemm.h"
#include "trainer/model/rms_norm.h"
#include "trainer/model/scratch.h"
#include "trainer/model/swiglu.h"
#include "trainer/model/tensors.h"

namespace millrace::trainer {
namespace {

// Order of parameters().
enum Parameter { kInputNorm, kQuery, kKey, kValue, kAttentionOut, kPostNorm, kGate, kUp, kDown };

// M rows, H hidden, Q query and K key-value width of all heads, I intermediate.
struct Sizes {
  int64_t rows, hidden, query, key_value, intermediate;
  Sizes(const ModelConfig& config, const Leaf& leaf)
      : rows(leaf.sequences * leaf.length),
        hidden(config.hidden_size),
        query(config.num_attention_heads * config.head_dim()),
        key_value(config.num_key_value_heads * config.head_dim()),
        intermediate(config.intermediate_size) {}
  int64_t qkv() const { return query + 2 * key_value; }
};

// What Forward leaves for Backward.
struct Activations {
  float* input_norm_MH;
  float* input_inverse_rms_M;
  float* qkv_M;
  float* attention_MQ;
  float* log_sum_SNT;
  float* middle_MH;  // x2
  float* post_norm_MH;
  float* post_inverse_rms_M;
  float* gate_MI;
  float* up_MI;
  float* activation_MI;

  Activations(const ModelConfig& config, const Sizes& n, Saved& saved) {
    const std::vector<float*> arrays =
        SavedArrays({n.rows * n.hidden, n.rows, n.rows * n.qkv(), n.rows * n.query, n.rows * config.num_attention_heads,
                     n.rows * n.hidden, n.rows * n.hidden, n.rows, n.rows * n.intermediate, n.rows * n.intermediate,
                     n.rows * n.intermediate},
                    saved);
    input_norm_MH = arrays[0];
    input_inverse_rms_M = arrays[1];
    qkv_M = arrays[2];
    attention_MQ = arrays[3];
    log_sum_SNT = arrays[4];
    middle_MH = arrays[5];
    post_norm_MH = arrays[6];
    post_inverse_rms_M = arrays[7];
    gate_MI = arrays[8];
    up_MI = arrays[9];
    activation_MI = arrays[10];
  }
};

AttentionInput AttentionInputOf(const ModelConfig& config, const Leaf& leaf, const RopeTable& rope, const float* qkv) {
  return {{leaf.sequences, leaf.length, config.num_attention_heads, config.num_key_value_heads, config.head_dim()},
          &rope,
          qkv,
          leaf.positions_M.const_data_ptr<int32_t>(),
          leaf.attend_from_M.defined() ? leaf.attend_from_M.const_data_ptr<int32_t>() : nullptr};
}

std::vector<ParameterSpec> Parameters(const ModelConfig& config, int64_t layer) {
  const std::string prefix = absl::StrCat("model.layers.", layer, ".");
  const int64_t hidden = config.hidden_size, intermediate = config.intermediate_size;
  const int64_t query = config.num_attention_heads * config.head_dim();
  const int64_t key_value = config.num_key_value_heads * config.head_dim();
  const double deviation = config.initializer_range;
  // The two that write into the residual stream (GPT-2; arXiv:1909.08053 section 5.1).
  const double residual = deviation / std::sqrt(2.0 * config.num_hidden_layers);
  const auto matrix = [&](const char* name, int64_t out, int64_t in, double standard_deviation) {
    return ParameterSpec{prefix + name, {out, in}, Initialization::kNormal, standard_deviation, true};
  };
  const auto norm = [&](const char* name) {
    return ParameterSpec{prefix + name, {hidden}, Initialization::kOnes, 0, false};
  };
  return {norm("input_layernorm.weight"),
          matrix("self_attn.q_proj.weight", query, hidden, deviation),
          matrix("self_attn.k_proj.weight", key_value, hidden, deviation),
          matrix("self_attn.v_proj.weight", key_value, hidden, deviation),
          matrix("self_attn.o_proj.weight", hidden, query, residual),
          norm("post_attention_layernorm.weight"),
          matrix("mlp.gate_proj.weight", intermediate, hidden, deviation),
          matrix("mlp.up_proj.weight", intermediate, hidden, deviation),
          matrix("mlp.down_proj.weight", hidden, intermediate, residual)};
}

}  // namespace

DecoderLayerBlock::DecoderLayerBlock(const ModelConfig& config, int64_t layer, std::shared_ptr<const RopeTable> rope)
    : config_(config),
      name_(absl::StrCat("layers.", layer)),
      parameters_(Parameters(config, layer)),
      rope_(std::move(rope)) {}

void DecoderLayerBlock::Forward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in,
                                at::Tensor& out, Saved& saved) const {
  const Sizes n(config_, leaf);
  const Activations a(config_, n, saved);
  const float epsilon = static_cast<float>(config_.rms_norm_eps);
  const float* x_MH = In(in);
  EnsureShape(n.rows, n.hidden, out);
  float* out_MH = Out(out);

  RmsNormForward(n.rows, n.hidden, epsilon, x_MH, In(weights[kInputNorm]), a.input_norm_MH, a.input_inverse_rms_M);
  const ConstMatrix normed{a.input_norm_MH, n.hidden};
  GemmNt(n.rows, n.query, n.hidden, normed, {In(weights[kQuery]), n.hidden}, {a.qkv_M, n.qkv()}, Output::kSet);
  GemmNt(n.rows, n.key_value, n.hidden, normed, {In(weights[kKey]), n.hidden}, {a.qkv_M + n.query, n.qkv()},
         Output::kSet);
  GemmNt(n.rows, n.key_value, n.hidden, normed, {In(weights[kValue]), n.hidden},
         {a.qkv_M + n.query + n.key_value, n.qkv()}, Output::kSet);
  AttentionForward(AttentionInputOf(config_, leaf, *rope_, a.qkv_M), a.attention_MQ, a.log_sum_SNT);
  std::memcpy(a.middle_MH, x_MH, n.rows * n.hidden * sizeof(float));
  GemmNt(n.rows, n.hidden, n.query, {a.attention_MQ, n.query}, {In(weights[kAttentionOut]), n.query},
         {a.middle_MH, n.hidden}, Output::kAdd);

  RmsNormForward(n.rows, n.hidden, epsilon, a.middle_MH, In(weights[kPostNorm]), a.post_norm_MH, a.post_inverse_rms_M);
  const ConstMatrix post{a.post_norm_MH, n.hidden};
  GemmNt(n.rows, n.intermediate, n.hidden, post, {In(weights[kGate]), n.hidden}, {a.gate_MI, n.intermediate},
         Output::kSet);
  GemmNt(n.rows, n.intermediate, n.hidden, post, {In(weights[kUp]), n.hidden}, {a.up_MI, n.intermediate}, Output::kSet);
  SwigluForward(n.rows * n.intermediate, a.gate_MI, a.up_MI, a.activation_MI);
  std::memcpy(out_MH, a.middle_MH, n.rows * n.hidden * sizeof(float));
  GemmNt(n.rows, n.hidden, n.intermediate, {a.activation_MI, n.intermediate}, {In(weights[kDown]), n.intermediate},
         {out_MH, n.hidden}, Output::kAdd);
}

void DecoderLayerBlock::Backward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in,
                                 const at::Tensor& grad_out, at::Tensor& grad_in, std::vector<at::Tensor>& gradients,
                                 Saved& saved) const {
  const Sizes n(config_, leaf);
  const Activations a(config_, n, saved);
  const float* x_MH = In(in);
  const float* grad_out_MH = In(grad_out);
  EnsureShape(n.rows, n.hidden, grad_in);

  // The multilayer perceptron; its memory then serves attention.
  static thread_local Scratch memory;
  const int64_t wide = Aligned(n.rows * std::max(n.intermediate, n.qkv()));
  float* grad_gate_MI = memory.Get(2 * wide + 2 * Aligned(n.rows * n.hidden) + Aligned(n.rows * n.query));
  float* grad_up_MI = grad_gate_MI + wide;
  float* grad_norm_MH = grad_up_MI + wide;
  float* grad_middle_MH = grad_norm_MH + Aligned(n.rows * n.hidden);
  float* grad_attention_MQ = grad_middle_MH + Aligned(n.rows * n.hidden);
  GemmNn(n.rows, n.intermediate, n.hidden, {grad_out_MH, n.hidden}, {In(weights[kDown]), n.intermediate},
         {grad_gate_MI, n.intermediate}, Output::kSet);
  GemmTn(n.hidden, n.intermediate, n.rows, {grad_out_MH, n.hidden}, {a.activation_MI, n.intermediate},
         {Out(gradients[kDown]), n.intermediate}, Output::kSet);
  SwigluBackward(n.rows * n.intermediate, a.gate_MI, a.up_MI, grad_gate_MI, grad_gate_MI, grad_up_MI);
  GemmTn(n.intermediate, n.hidden, n.rows, {grad_gate_MI, n.intermediate}, {a.post_norm_MH, n.hidden},
         {Out(gradients[kGate]), n.hidden}, Output::kSet);
  GemmTn(n.intermediate, n.hidden, n.rows, {grad_up_MI, n.intermediate}, {a.post_norm_MH, n.hidden},
         {Out(gradients[kUp]), n.hidden}, Output::kSet);
  GemmNn(n.rows, n.hidden, n.intermediate, {grad_gate_MI, n.intermediate}, {In(weights[kGate]), n.hidden},
         {grad_norm_MH, n.hidden}, Output::kSet);
  GemmNn(n.rows, n.hidden, n.intermediate, {grad_up_MI, n.intermediate}, {In(weights[kUp]), n.hidden},
         {grad_norm_MH, n.hidden}, Output::kAdd);
  RmsNormBackward(n.rows, n.hidden, a.middle_MH, In(weights[kPostNorm]), a.post_inverse_rms_M, grad_norm_MH,
                  grad_out_MH, grad_middle_MH, Out(gradients[kPostNorm]));

  // Attention.
  GemmNn(n.rows, n.query, n.hidden, {grad_middle_MH, n.hidden}, {In(weights[kAttentionOut]), n.query},
         {grad_attention_MQ, n.query}, Output::kSet);
  GemmTn(n.hidden, n.query, n.rows, {grad_middle_MH, n.hidden}, {a.attention_MQ, n.query},
         {Out(gradients[kAttentionOut]), n.query}, Output::kSet);
  float* grad_qkv_M = grad_gate_MI;
  AttentionBackward(AttentionInputOf(config_, leaf, *rope_, a.qkv_M), a.attention_MQ, a.log_sum_SNT, grad_attention_MQ,
                    grad_qkv_M);
  const struct {
    Parameter parameter;
    int64_t offset, width;
  } parts[] = {{kQuery, 0, n.query}, {kKey, n.query, n.key_value}, {kValue, n.query + n.key_value, n.key_value}};
  for (const auto& part : parts) {
    const ConstMatrix grad_part{grad_qkv_M + part.offset, n.qkv()};
    GemmTn(part.width, n.hidden, n.rows, grad_part, {a.input_norm_MH, n.hidden},
           {Out(gradients[part.parameter]), n.hidden}, Output::kSet);
    GemmNn(n.rows, n.hidden, part.width, grad_part, {In(weights[part.parameter]), n.hidden}, {grad_norm_MH, n.hidden},
           part.parameter == kQuery ? Output::kSet : Output::kAdd);
  }
  RmsNormBackward(n.rows, n.hidden, x_MH, In(weights[kInputNorm]), a.input_inverse_rms_M, grad_norm_MH, grad_middle_MH,
                  Out(grad_in), Out(gradients[kInputNorm]));
}

}  // namespace millrace::trainer
