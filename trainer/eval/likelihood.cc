// Windows of like length share a forward pass: all of them sorted by length, longest first, then cut into batches of
// about kRowsPerBatch rows; a batch's windows are padded at their end to its longest.
#include "trainer/eval/likelihood.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <numbers>
#include <numeric>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kRowsPerBatch = 1024;

struct Window {
  int64_t document = 0;
  int64_t first = 0;
  int64_t predictions = 0;
};

struct Batch {
  int64_t begin = 0, end = 0;  // into the sorted windows
};

std::vector<Window> AllWindows(const data::HeldOutSet& documents, int64_t length) {
  std::vector<Window> windows;
  for (int64_t i = 0; i < documents.num_documents(); ++i) {
    for (const auto& [first, predictions] : data::DocumentWindows(documents.document(i).ids.size(), length))
      windows.push_back({i, first, predictions});
  }
  return windows;
}

std::vector<Batch> CutIntoBatches(const std::vector<Window>& windows, const std::vector<int64_t>& order) {
  std::vector<Batch> batches;
  const int64_t count = order.size();
  for (int64_t begin = 0; begin < count;) {
    const int64_t capacity = std::max<int64_t>(1, kRowsPerBatch / windows[order[begin]].predictions);
    const int64_t end = std::min(count, begin + capacity);
    batches.push_back({begin, end});
    begin = end;
  }
  return batches;
}

absl::Status CheckVocabulary(const data::ShardManifest& manifest, const ModelConfig& config) {
  if (manifest.vocab_size <= config.vocab_size && manifest.eos_id < config.vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the held-out ids go up to ", std::max(manifest.vocab_size - 1, manifest.eos_id),
                   ", the model's vocabulary has ", config.vocab_size,
                   "\n  why: they were made with another tokenizer than the model's training data"
                   "\n  fix: held-out shards of the tokenizer that the model was trained with"));
}

}  // namespace

absl::StatusOr<std::vector<double>> DocumentNats(const data::HeldOutSet& documents, ParallelInference& model,
                                                 const std::function<bool(int64_t, int64_t)>& progress) {
  RETURN_IF_ERROR(CheckVocabulary(documents.manifest(), model.config()));
  const uint32_t eos_id = documents.manifest().eos_id;
  const std::vector<Window> windows = AllWindows(documents, model.config().max_position_embeddings);
  std::vector<int64_t> order(windows.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return windows[a].predictions > windows[b].predictions; });
  const std::vector<Batch> batches = CutIntoBatches(windows, order);
  int64_t total = 0;
  for (const Window& window : windows) total += window.predictions;

  std::vector<double> window_nats(windows.size());
  std::mutex progress_mutex;
  int64_t done = 0;
  std::atomic<bool> stopped = false;
  model.ForEach(batches.size(), [&](int64_t b, Inference& inference) {
    if (stopped) return;
    const auto [begin, end] = batches[b];
    const int64_t length = windows[order[begin]].predictions;
    const Leaf leaf = NewLeaf(end - begin, length);
    for (int64_t i = begin; i < end; ++i) {
      const Window& window = windows[order[i]];
      const std::vector<uint32_t> ids =
          data::WindowIds(documents.document(window.document), eos_id, window.first, window.predictions);
      std::copy(ids.begin(), ids.end() - 1, leaf.ids_M.mutable_data_ptr<int64_t>() + (i - begin) * length);
      std::copy(ids.begin() + 1, ids.end(), leaf.targets_M.mutable_data_ptr<int64_t>() + (i - begin) * length);
    }
    std::vector<float> losses((end - begin) * length);
    inference.RowLosses(leaf, losses.data());
    int64_t predictions = 0;
    for (int64_t i = begin; i < end; ++i) {
      const float* first = losses.data() + (i - begin) * length;
      const int64_t count = windows[order[i]].predictions;
      window_nats[order[i]] = std::accumulate(first, first + count, 0.0);
      predictions += count;
    }
    std::lock_guard lock(progress_mutex);
    done += predictions;
    if (!progress(done, total)) stopped = true;
  });
  if (stopped) return absl::CancelledError("interrupted");

  std::vector<double> nats(documents.num_documents(), 0.0);
  for (size_t i = 0; i < windows.size(); ++i) {
    if (!std::isfinite(window_nats[i])) {
      return absl::FailedPreconditionError(
          absl::StrCat("the loss of held-out document ", windows[i].document, " is ", window_nats[i],
                       "\n  why: the model's weights hold, or lead to, values that are not finite numbers"
                       "\n  fix: look at the training loss; a lower learning rate or max_grad_norm"));
    }
    nats[windows[i].document] += window_nats[i];
  }
  return nats;
}

double Likelihood::perplexity() const { return std::exp(std::min(loss(), 700.0)); }

double Likelihood::bits_per_byte() const { return nats / std::numbers::ln2 / static_cast<double>(bytes); }

LikelihoodBySource Summarize(const data::HeldOutSet& documents, const std::vector<double>& nats) {
  LikelihoodBySource result;
  for (int64_t i = 0; i < documents.num_documents(); ++i) {
    const data::HeldOutDocument document = documents.document(i);
    for (Likelihood* sum : {&result.all, &result.source[document.source]}) {
      ++sum->documents;
      sum->tokens += document.ids.size() + 1;
      sum->bytes += document.text_bytes;
      sum->nats += nats[i];
    }
  }
  return result;
}

std::string WindowRule(const ModelConfig& config) {
  return absl::StrCat(
      "A document is EOS t1..tn EOS; each t and the last EOS are predicted, in disjoint windows of at most ",
      config.max_position_embeddings,
      " predictions. The first window starts from EOS; each later one has only the last id of the one before as "
      "context. Bits are the sum of -log2 p over all predictions, bytes those of the original documents in UTF-8.");
}

}  // namespace millrace::trainer
