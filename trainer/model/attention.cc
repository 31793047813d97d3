// How it works. A task is one head of one sequence; tasks run in parallel and share no output. A task first copies what
// it needs into its own memory: queries rotated and scaled, keys and values as panels of 16 columns (so that scores of
// 16 keys are two registers) and as rows padded to a multiple of 8. Then blocks of queries meet blocks of keys.
//
// Within a block of scores, rows are taken six at a time (a register tile), and each six compute only the panels that
// some row of theirs may see; what lies between is set to 0 after the exponential, so that later products may read it.
// The backward pass computes the scores again from log_sum. With grouped queries each query head makes its own key and
// value gradients, which are then added in the order of heads: the bits do not depend on the number of threads.
#include "trainer/model/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "trainer/model/parallel.h"
#include "trainer/model/scratch.h"
#include "trainer/model/simd.h"
#include "trainer/model/tile_gemm.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kPanel = tile::kColumns;
constexpr int64_t kQueryBlock = 48;
constexpr int64_t kKeyBlock = 128;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

int64_t RoundUp(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// One head of one sequence.
struct Head {
  const AttentionInput& input;
  int64_t sequence;
  int64_t head;

  const AttentionShape& shape() const { return input.shape; }
  int64_t row_floats() const { return (shape().heads + 2 * shape().kv_heads) * shape().head_dim; }
  int64_t kv_head() const { return head / (shape().heads / shape().kv_heads); }
  int64_t row(int64_t t) const { return sequence * shape().length + t; }
  int64_t query_offset() const { return head * shape().head_dim; }
  int64_t key_offset() const { return (shape().heads + kv_head()) * shape().head_dim; }
  int64_t value_offset() const { return (shape().heads + shape().kv_heads + kv_head()) * shape().head_dim; }
  const float* at(int64_t t, int64_t offset) const { return input.qkv_M + row(t) * row_floats() + offset; }
  int64_t position(int64_t t) const { return input.positions_M[row(t)]; }
  int64_t attend_from(int64_t t) const { return input.attend_from_M == nullptr ? 0 : input.attend_from_M[row(t)]; }
  // The first key that any query of [begin, end) may see.
  int64_t first_key(int64_t begin, int64_t end) const {
    if (input.attend_from_M == nullptr) return 0;
    int64_t first = attend_from(begin);
    for (int64_t t = begin + 1; t < end; ++t) first = std::min(first, attend_from(t));
    return first;
  }
  float scale() const { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape().head_dim))); }
};

// rows_TD (stride `stride`) -> panels: element (t, i) at [t / 16][i][t % 16]; zero beyond the last row.
void PackPanels(int64_t length, int64_t dim, const float* rows, int64_t stride, float* panels) {
  for (int64_t begin = 0; begin < length; begin += kPanel) {
    float* panel = panels + begin * dim;
    const int64_t count = std::min(kPanel, length - begin);
    if (count < kPanel) std::memset(panel, 0, kPanel * dim * sizeof(float));
    for (int64_t t = 0; t < count; ++t) {
      const float* row = rows + (begin + t) * stride;
      for (int64_t i = 0; i < dim; ++i) panel[i * kPanel + t] = row[i];
    }
  }
}

void CopyPadded(int64_t dim, int64_t padded, const float* from, float* to) {
  std::memcpy(to, from, dim * sizeof(float));
  for (int64_t i = dim; i < padded; ++i) to[i] = 0;
}

// What one subblock of at most six queries may see of the key block [key_begin, key_end): whole panels.
struct Span {
  int64_t begin = 0;
  int64_t end = 0;  // a multiple of kPanel from key_begin, may be beyond key_end
  bool empty() const { return begin >= end; }
};

Span VisiblePanels(int64_t first_key, int64_t last_query, int64_t key_begin, int64_t key_end) {
  const int64_t end = std::min(key_end, last_query + 1);
  const int64_t begin = std::max(key_begin, first_key);
  if (begin >= end) return {};
  return {key_begin + (begin - key_begin) / kPanel * kPanel, key_begin + RoundUp(end - key_begin, kPanel)};
}

// scores (row stride kKeyBlock, column 0 is key_begin) = queries of the subblock times the panels of `span`.
void ScorePanels(int64_t rows, int64_t dim, const float* queries, int64_t query_stride, const float* panels, Span span,
                 int64_t key_begin, float* scores) {
  for (int64_t key = span.begin; key < span.end; key += kPanel) {
    tile::Rows<2, false>(rows, dim, {queries, query_stride, 1}, panels + key * dim, kPanel, scores + key - key_begin,
                         kKeyBlock);
  }
}

struct ForwardScratch {
  float* queries;     // T x D, rotated and scaled
  float* key_panels;  // T16 x D
  float* values;      // T x D8
  float* rotated;     // T x D: keys, on their way into panels
  float* scores;      // kQueryBlock x kKeyBlock
  float* out;         // kQueryBlock x D8
  float* maximum;     // kQueryBlock
  float* sum;         // kQueryBlock

  static ForwardScratch Take(int64_t length, int64_t dim) {
    static thread_local Scratch memory;
    const int64_t dim8 = RoundUp(dim, 8), length16 = RoundUp(length, kPanel);
    const int64_t sizes[] = {length * dim,       length16 * dim, length * dim8, length * dim, kQueryBlock * kKeyBlock,
                             kQueryBlock * dim8, kQueryBlock,    kQueryBlock};
    int64_t total = 0;
    for (int64_t size : sizes) total += Aligned(size);
    float* next = memory.Get(total);
    float* pieces[8];
    for (int i = 0; i < 8; ++i) {
      pieces[i] = next;
      next += Aligned(sizes[i]);
    }
    return {pieces[0], pieces[1], pieces[2], pieces[3], pieces[4], pieces[5], pieces[6], pieces[7]};
  }
};

// One row of scores over [begin, end) becomes exponentials with the running maximum; outside [visible_begin,
// visible_end) they become 0. Returns what earlier sums and outputs are to be multiplied by.
float OnlineSoftmaxRow(float* scores, int64_t begin, int64_t end, int64_t visible_begin, int64_t visible_end,
                       float& maximum, float& sum) {
  for (int64_t i = begin; i < std::min(visible_begin, end); ++i) scores[i] = kMinusInfinity;
  for (int64_t i = std::max(visible_end, begin); i < end; ++i) scores[i] = kMinusInfinity;
  __m256 highest = _mm256_set1_ps(kMinusInfinity);
  for (int64_t i = begin; i < end; i += 8) highest = _mm256_max_ps(highest, _mm256_loadu_ps(scores + i));
  const float new_maximum = std::max(maximum, simd::Max(highest));
  if (new_maximum == kMinusInfinity) {
    for (int64_t i = begin; i < end; ++i) scores[i] = 0;
    return 1;
  }
  const __m256 shift = _mm256_set1_ps(new_maximum);
  __m256 total = _mm256_setzero_ps();
  for (int64_t i = begin; i < end; i += 8) {
    const __m256 e = simd::Exp(_mm256_sub_ps(_mm256_loadu_ps(scores + i), shift));
    _mm256_storeu_ps(scores + i, e);
    total = _mm256_add_ps(total, e);
  }
  const float factor =
      maximum == kMinusInfinity ? 0.0f : _mm256_cvtss_f32(simd::Exp(_mm256_set1_ps(maximum - new_maximum)));
  sum = sum * factor + simd::Sum(total);
  maximum = new_maximum;
  return factor;
}

void ForwardHead(const Head& head, float* out_MND, float* log_sum_T) {
  const int64_t length = head.shape().length, dim = head.shape().head_dim, dim8 = RoundUp(dim, 8);
  const ForwardScratch s = ForwardScratch::Take(length, dim);
  for (int64_t t = 0; t < length; ++t) {
    head.input.rope->Rotate(head.position(t), head.scale(), head.at(t, head.query_offset()), s.queries + t * dim);
    head.input.rope->Rotate(head.position(t), 1.0f, head.at(t, head.key_offset()), s.rotated + t * dim);
    CopyPadded(dim, dim8, head.at(t, head.value_offset()), s.values + t * dim8);
  }
  PackPanels(length, dim, s.rotated, dim, s.key_panels);

  for (int64_t q0 = 0; q0 < length; q0 += kQueryBlock) {
    const int64_t q1 = std::min(length, q0 + kQueryBlock);
    const int64_t first_key = head.first_key(q0, q1);
    std::fill(s.maximum, s.maximum + (q1 - q0), kMinusInfinity);
    std::fill(s.sum, s.sum + (q1 - q0), 0.0f);
    std::fill(s.out, s.out + (q1 - q0) * dim8, 0.0f);
    for (int64_t k0 = first_key / kKeyBlock * kKeyBlock; k0 < q1; k0 += kKeyBlock) {
      const int64_t k1 = std::min(q1, k0 + kKeyBlock);
      for (int64_t r0 = q0; r0 < q1; r0 += tile::kRows) {
        const int64_t r1 = std::min(q1, r0 + tile::kRows);
        const Span span = VisiblePanels(head.first_key(r0, r1), r1 - 1, k0, k1);
        if (span.empty()) continue;
        float* scores = s.scores + (r0 - q0) * kKeyBlock;
        float* out = s.out + (r0 - q0) * dim8;
        ScorePanels(r1 - r0, dim, s.queries + r0 * dim, dim, s.key_panels, span, k0, scores);
        for (int64_t r = r0; r < r1; ++r) {
          const float factor = OnlineSoftmaxRow(scores + (r - r0) * kKeyBlock, span.begin - k0, span.end - k0,
                                                head.attend_from(r) - k0, r + 1 - k0, s.maximum[r - q0], s.sum[r - q0]);
          if (factor != 1.0f) {
            for (int64_t i = 0; i < dim8; ++i) out[(r - r0) * dim8 + i] *= factor;
          }
        }
        const int64_t end = std::min(span.end, r1);
        tile::RowBlock<true>(r1 - r0, dim8, end - span.begin, {scores + span.begin - k0, kKeyBlock, 1},
                             s.values + span.begin * dim8, dim8, out, dim8);
      }
    }
    for (int64_t r = q0; r < q1; ++r) {
      const float inverse = 1.0f / s.sum[r - q0];
      float* out = out_MND + head.row(r) * head.shape().heads * dim + head.head * dim;
      for (int64_t i = 0; i < dim; ++i) out[i] = s.out[(r - q0) * dim8 + i] * inverse;
      log_sum_T[r] = s.maximum[r - q0] + std::log(s.sum[r - q0]);
    }
  }
}

struct BackwardScratch {
  float* queries;       // T x D8, rotated and scaled
  float* keys;          // T x D8, rotated
  float* key_panels;    // T16 x D
  float* value_panels;  // T16 x D
  float* grad_out;      // T x D8
  float* dots;          // T: sum over D of out * grad_out
  float* grad_queries;  // T x D8
  float* grad_keys;     // T x D8
  float* grad_values;   // T x D8
  float* weights;       // kQueryBlock x kKeyBlock: softmax
  float* grad_scores;   // kQueryBlock x kKeyBlock

  static BackwardScratch Take(int64_t length, int64_t dim) {
    static thread_local Scratch memory;
    const int64_t rows8 = length * RoundUp(dim, 8), panels = RoundUp(length, kPanel) * dim;
    const int64_t block = kQueryBlock * kKeyBlock;
    const int64_t sizes[] = {rows8, rows8, panels, panels, rows8, length, rows8, rows8, rows8, block, block};
    int64_t total = 0;
    for (int64_t size : sizes) total += Aligned(size);
    float* next = memory.Get(total);
    float* pieces[11];
    for (int i = 0; i < 11; ++i) {
      pieces[i] = next;
      next += Aligned(sizes[i]);
    }
    return {pieces[0], pieces[1], pieces[2], pieces[3], pieces[4], pieces[5],
            pieces[6], pieces[7], pieces[8], pieces[9], pieces[10]};
  }
};

// weights holds scores and becomes the softmax; grad_scores holds the weights' gradient and becomes the scores'. Both
// are 0 outside [visible_begin, visible_end).
void BackwardRow(float* weights, float* grad_scores, int64_t begin, int64_t end, int64_t visible_begin,
                 int64_t visible_end, float log_sum, float dot) {
  for (int64_t i = begin; i < std::min(visible_begin, end); ++i) weights[i] = kMinusInfinity;
  for (int64_t i = std::max(visible_end, begin); i < end; ++i) weights[i] = kMinusInfinity;
  const __m256 shift = _mm256_set1_ps(log_sum);
  const __m256 mean = _mm256_set1_ps(dot);
  for (int64_t i = begin; i < end; i += 8) {
    const __m256 weight = simd::Exp(_mm256_sub_ps(_mm256_loadu_ps(weights + i), shift));
    _mm256_storeu_ps(weights + i, weight);
    _mm256_storeu_ps(grad_scores + i, _mm256_mul_ps(weight, _mm256_sub_ps(_mm256_loadu_ps(grad_scores + i), mean)));
  }
}

// Where the key and value gradients of a query head go, and how far apart rows are.
struct KeyValueGradient {
  float* keys;
  float* values;
  int64_t stride;
};

void PrepareBackward(const Head& head, const float* out_MND, const float* grad_out_MND, const BackwardScratch& s) {
  const int64_t length = head.shape().length, dim = head.shape().head_dim, dim8 = RoundUp(dim, 8);
  for (int64_t t = 0; t < length; ++t) {
    float* query = s.queries + t * dim8;
    float* key = s.keys + t * dim8;
    head.input.rope->Rotate(head.position(t), head.scale(), head.at(t, head.query_offset()), query);
    head.input.rope->Rotate(head.position(t), 1.0f, head.at(t, head.key_offset()), key);
    for (int64_t i = dim; i < dim8; ++i) query[i] = key[i] = 0;
    const int64_t offset = head.row(t) * head.shape().heads * dim + head.head * dim;
    CopyPadded(dim, dim8, grad_out_MND + offset, s.grad_out + t * dim8);
    __m256 dot = _mm256_setzero_ps();
    simd::ForEachEight(
        dim,
        [&](int64_t i) {
          dot = _mm256_fmadd_ps(_mm256_loadu_ps(out_MND + offset + i), _mm256_loadu_ps(grad_out_MND + offset + i), dot);
        },
        [&](int64_t i, __m256i mask) {
          dot = _mm256_fmadd_ps(_mm256_maskload_ps(out_MND + offset + i, mask),
                                _mm256_maskload_ps(grad_out_MND + offset + i, mask), dot);
        });
    s.dots[t] = simd::Sum(dot);
  }
  PackPanels(length, dim, s.keys, dim8, s.key_panels);
  PackPanels(length, dim, head.at(0, head.value_offset()), head.row_floats(), s.value_panels);
  std::memset(s.grad_queries, 0, length * dim8 * sizeof(float));
  std::memset(s.grad_keys, 0, length * dim8 * sizeof(float));
  std::memset(s.grad_values, 0, length * dim8 * sizeof(float));
}

// One block of queries against one block of keys.
void BackwardBlock(const Head& head, const float* log_sum_T, int64_t q0, int64_t q1, int64_t k0, int64_t k1,
                   const BackwardScratch& s) {
  const int64_t dim = head.shape().head_dim, dim8 = RoundUp(dim, 8);
  int64_t first = k1, end = k0;  // what any row of the block sees
  for (int64_t r0 = q0; r0 < q1; r0 += tile::kRows) {
    const int64_t r1 = std::min(q1, r0 + tile::kRows);
    float* weights = s.weights + (r0 - q0) * kKeyBlock;
    float* grad_scores = s.grad_scores + (r0 - q0) * kKeyBlock;
    const Span span = VisiblePanels(head.first_key(r0, r1), r1 - 1, k0, k1);
    // Whole rows are read below as columns: what is not computed is 0.
    for (int64_t r = 0; r < r1 - r0; ++r) {
      const int64_t low = span.empty() ? kKeyBlock : span.begin - k0, high = span.empty() ? kKeyBlock : span.end - k0;
      std::fill(weights + r * kKeyBlock, weights + r * kKeyBlock + low, 0.0f);
      std::fill(weights + r * kKeyBlock + high, weights + (r + 1) * kKeyBlock, 0.0f);
      std::fill(grad_scores + r * kKeyBlock, grad_scores + r * kKeyBlock + low, 0.0f);
      std::fill(grad_scores + r * kKeyBlock + high, grad_scores + (r + 1) * kKeyBlock, 0.0f);
    }
    if (span.empty()) continue;
    first = std::min(first, span.begin);
    end = std::max(end, std::min(span.end, r1));
    ScorePanels(r1 - r0, dim, s.queries + r0 * dim8, dim8, s.key_panels, span, k0, weights);
    ScorePanels(r1 - r0, dim, s.grad_out + r0 * dim8, dim8, s.value_panels, span, k0, grad_scores);
    for (int64_t r = r0; r < r1; ++r) {
      BackwardRow(weights + (r - r0) * kKeyBlock, grad_scores + (r - r0) * kKeyBlock, span.begin - k0, span.end - k0,
                  head.attend_from(r) - k0, r + 1 - k0, log_sum_T[r], s.dots[r]);
    }
    tile::RowBlock<true>(r1 - r0, dim8, std::min(span.end, r1) - span.begin,
                         {grad_scores + span.begin - k0, kKeyBlock, 1}, s.keys + span.begin * dim8, dim8,
                         s.grad_queries + r0 * dim8, dim8);
  }
  for (int64_t key = first; key < end; key += tile::kRows) {
    const int64_t rows = std::min(tile::kRows, end - key);
    const int64_t from = std::max(q0, key);  // a query before the key does not see it
    const int64_t offset = (from - q0) * kKeyBlock + key - k0;
    tile::RowBlock<true>(rows, dim8, q1 - from, {s.weights + offset, 1, kKeyBlock}, s.grad_out + from * dim8, dim8,
                         s.grad_values + key * dim8, dim8);
    tile::RowBlock<true>(rows, dim8, q1 - from, {s.grad_scores + offset, 1, kKeyBlock}, s.queries + from * dim8, dim8,
                         s.grad_keys + key * dim8, dim8);
  }
}

void BackwardHead(const Head& head, const float* out_MND, const float* log_sum_T, const float* grad_out_MND,
                  float* grad_qkv_M, const KeyValueGradient& kv) {
  const int64_t length = head.shape().length, dim = head.shape().head_dim, dim8 = RoundUp(dim, 8);
  const BackwardScratch s = BackwardScratch::Take(length, dim);
  PrepareBackward(head, out_MND, grad_out_MND, s);
  for (int64_t q0 = 0; q0 < length; q0 += kQueryBlock) {
    const int64_t q1 = std::min(length, q0 + kQueryBlock);
    for (int64_t k0 = head.first_key(q0, q1) / kKeyBlock * kKeyBlock; k0 < q1; k0 += kKeyBlock) {
      BackwardBlock(head, log_sum_T, q0, q1, k0, std::min(q1, k0 + kKeyBlock), s);
    }
  }
  for (int64_t t = 0; t < length; ++t) {
    float* grad = grad_qkv_M + head.row(t) * head.row_floats() + head.query_offset();
    // Padding must not be unrotated: the halves are of `dim`.
    head.input.rope->Unrotate(head.position(t), head.scale(), s.grad_queries + t * dim8, grad);
    head.input.rope->Unrotate(head.position(t), 1.0f, s.grad_keys + t * dim8, kv.keys + t * kv.stride);
    std::memcpy(kv.values + t * kv.stride, s.grad_values + t * dim8, dim * sizeof(float));
  }
}

}  // namespace

void AttentionForward(const AttentionInput& input, float* out_MND, float* log_sum_SNT) {
  const AttentionShape& shape = input.shape;
  ParallelRange(shape.sequences * shape.heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      ForwardHead({input, task / shape.heads, task % shape.heads}, out_MND, log_sum_SNT + task * shape.length);
    }
  });
}

void AttentionBackward(const AttentionInput& input, const float* out_MND, const float* log_sum_SNT,
                       const float* grad_out_MND, float* grad_qkv_M) {
  const AttentionShape& shape = input.shape;
  const int64_t group = shape.heads / shape.kv_heads;
  const int64_t dim = shape.head_dim;
  const int64_t row_floats = (shape.heads + 2 * shape.kv_heads) * dim;
  // With grouped queries: key gradients, then value gradients, of each query head.
  static thread_local Scratch memory;
  const int64_t head_floats = shape.length * dim;
  float* partial = group == 1 ? nullptr : memory.Get(2 * shape.sequences * shape.heads * head_floats);
  ParallelRange(shape.sequences * shape.heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const Head head{input, task / shape.heads, task % shape.heads};
      KeyValueGradient kv;
      if (group == 1) {
        float* first_row = grad_qkv_M + head.row(0) * row_floats;
        kv = {first_row + head.key_offset(), first_row + head.value_offset(), row_floats};
      } else {
        kv = {partial + 2 * task * head_floats, partial + (2 * task + 1) * head_floats, dim};
      }
      BackwardHead(head, out_MND, log_sum_SNT + task * shape.length, grad_out_MND, grad_qkv_M, kv);
    }
  });
  if (group == 1) return;
  ParallelRange(shape.sequences * shape.length, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t sequence = row / shape.length, t = row % shape.length;
      for (int64_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
        const int64_t first_task = sequence * shape.heads + kv_head * group;
        for (int part = 0; part < 2; ++part) {
          float* sum = grad_qkv_M + row * row_floats + (shape.heads + part * shape.kv_heads + kv_head) * dim;
          std::memset(sum, 0, dim * sizeof(float));
          for (int64_t g = 0; g < group; ++g) {
            const float* term = partial + (2 * (first_task + g) + part) * head_floats + t * dim;
            for (int64_t i = 0; i < dim; ++i) sum[i] += term[i];
          }
        }
      }
    }
  });
}

}  // namespace millrace::trainer
