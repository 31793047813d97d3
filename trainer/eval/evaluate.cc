#include "trainer/eval/evaluate.h"

#include <string>
#include <vector>

#include "base/file.h"
#include "base/status_macros.h"
#include "data/shards/held_out.h"
#include "data/tokenizer/tokenizer.h"
#include "trainer/eval/gates.h"
#include "trainer/eval/gzip_baseline.h"
#include "trainer/eval/likelihood.h"
#include "trainer/eval/load_model.h"
#include "trainer/eval/metrics.h"
#include "trainer/eval/parallel_inference.h"
#include "trainer/eval/sampling.h"

namespace millrace::trainer {
namespace {

absl::Status MeasureLikelihood(Stage& stage, bool gzip_baseline, const data::Tokenizer& tokenizer,
                               ParallelInference& model, Metrics& metrics) {
  ASSIGN_OR_RETURN(const std::string folder, stage.InputPath("likelihood.data"));
  ASSIGN_OR_RETURN(const data::HeldOutSet documents, data::HeldOutSet::Open(folder));
  const auto num_documents = static_cast<double>(documents.num_documents());
  if (documents.num_documents() == 0) stage.ReportWarning("there are no held-out documents: nothing is measured");
  // Windows are not evaluated document by document: this is the share of predictions.
  ASSIGN_OR_RETURN(const std::vector<double> nats, DocumentNats(documents, model, [&](int64_t done, int64_t total) {
                     const double share = static_cast<double>(done) / static_cast<double>(total);
                     stage.ReportProgress(static_cast<int64_t>(share * num_documents), num_documents, "documents");
                     return !Stage::Interrupted();
                   }));
  const LikelihoodBySource likelihood = Summarize(documents, nats);
  AddLikelihood(likelihood, metrics);
  if (!gzip_baseline) return absl::OkStatus();
  ASSIGN_OR_RETURN(const GzipBySource gzip, GzipBaseline(documents, tokenizer, stage.threads()));
  AddGzipBaseline(gzip, likelihood, metrics);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SampledText>> DrawSamples(const Stage& stage, const Evaluate& parameters,
                                                     const data::Tokenizer& tokenizer, ParallelInference& model) {
  std::vector<SampleRequest> requests;
  for (const Evaluate::Sample& sample : parameters.sample()) {
    for (int index = 0; index < sample.count(); ++index)
      requests.push_back({sample.prompt(), sample.max_new_tokens(), sample.temperature(), index});
  }
  if (requests.empty()) return std::vector<SampledText>();
  ASSIGN_OR_RETURN(const std::vector<std::string> texts,
                   Sample(requests, tokenizer, stage.seed(), model, Stage::Interrupted));
  std::vector<SampledText> samples;
  for (size_t i = 0; i < requests.size(); ++i) samples.push_back({requests[i].prompt, texts[i]});
  return samples;
}

}  // namespace

absl::Status EvaluateStage(Stage& stage, const Evaluate& parameters) {
  ASSIGN_OR_RETURN(const std::string model_folder, stage.InputPath("model"));
  ASSIGN_OR_RETURN(const std::string tokenizer_folder, stage.InputPath("tokenizer"));
  ASSIGN_OR_RETURN(const std::string out, stage.OutputPath("metrics"));
  ASSIGN_OR_RETURN(const data::Tokenizer tokenizer, data::Tokenizer::Load(tokenizer_folder));
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadModel(model_folder));
  ParallelInference model(loaded, stage.threads());

  Metrics metrics;
  const bool measures = stage.HasInput("likelihood.data");
  if (measures)
    RETURN_IF_ERROR(MeasureLikelihood(stage, parameters.likelihood().gzip_baseline(), tokenizer, model, metrics));
  ASSIGN_OR_RETURN(const std::vector<SampledText> samples, DrawSamples(stage, parameters, tokenizer, model));

  const std::string json = MetricsJson(metrics, samples, measures ? WindowRule(loaded.config) : "");
  RETURN_IF_ERROR(WriteFile(JoinPath(out, "metrics.json"), json));
  for (const auto& [name, value] : metrics) stage.ReportMetric(name, value);
  for (const SampledText& sample : samples) stage.ReportExample("sample", sample.prompt, sample.text);
  return CheckGates(parameters, metrics);
}

}  // namespace millrace::trainer
