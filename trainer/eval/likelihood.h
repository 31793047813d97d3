// How well a model predicts held-out documents. A document is EOS t1..tn EOS; each t and the last EOS are predicted in
// disjoint windows of at most the model's max_position_embeddings predictions, and the only context that a window has
// from before it is one id, the last of the window before (of the first window: EOS).
#ifndef MILLRACE_TRAINER_EVAL_LIKELIHOOD_H_
#define MILLRACE_TRAINER_EVAL_LIKELIHOOD_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/shards/held_out.h"
#include "trainer/eval/parallel_inference.h"

namespace millrace::trainer {

// The sum of -ln p over the predictions of each document, in the order of the set.
// The same bits for any number of threads: which windows share a forward pass depends on the set and the model only,
// and sums (float64) are in document order. Cost: one forward pass over the ids, padding below a few per cent.
//   `progress` is told how many predictions of how many are done, from one thread at a time; false: stop.
//   InvalidArgument: ids outside of the model's vocabulary. FailedPrecondition: a loss is not a finite number.
//   Cancelled: `progress` said so.
absl::StatusOr<std::vector<double>> DocumentNats(const data::HeldOutSet& documents, ParallelInference& model,
                                                 const std::function<bool(int64_t, int64_t)>& progress);

struct Likelihood {
  int64_t documents = 0;
  int64_t tokens = 0;  // predictions
  int64_t bytes = 0;   // of the original text
  double nats = 0;

  double loss() const { return nats / static_cast<double>(tokens); }  // nats per prediction
  double perplexity() const;                                          // e^loss; at most e^700
  double bits_per_byte() const;                                       // of documents with bytes
};

struct LikelihoodBySource {
  Likelihood all;
  std::map<uint32_t, Likelihood> source;  // those that have documents
};

// `nats` are those of DocumentNats.
LikelihoodBySource Summarize(const data::HeldOutSet& documents, const std::vector<double>& nats);

// The rule above in words, with the model's length.
std::string WindowRule(const ModelConfig& config);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_EVAL_LIKELIHOOD_H_
