#include "executor/cli/estimate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/quantity.h"
#include "pipelines/schema/corpus.pb.h"
#include "pipelines/schema/split.pb.h"
#include "pipelines/schema/train.pb.h"
#include "trainer/arch/model_config.h"
#include "trainer/plan/roofline.h"

namespace millrace {
namespace {

// Of a data stage: bytes of text that it gets through in a second on two cores, and bytes it writes for each.
struct Rate {
  double bytes_per_second;
  double written;
};
const std::map<std::string, Rate>& Rates() {
  static const auto& rates = *new std::map<std::string, Rate>{
      {"corpus", {50e6, 1.05}},  {"dedup", {40e6, 1.05}},  {"filter", {60e6, 1.05}},
      {"split", {30e6, 1.05}},   {"tokenizer", {20e6, 1}}, {"train_tokenizer", {12e6, 0.01}},
      {"tokenize", {30e6, 1.4}}, {"pack", {100e6, 1.4}},   {"mix", {300e6, 0.08}},
  };
  return rates;
}
constexpr double kStartSeconds = 0.05;     // of a process
constexpr double kLoadSeconds = 1;         // of one with LibTorch
constexpr double kCompressed = 3;          // text in a compressed file, to its size
constexpr double kBytesPerToken = 3;       // of text
constexpr double kForwardShare = 1.0 / 3;  // of a training step's arithmetic
// An earlier result is of the same work when it took as long as is guessed, to this factor, or both are short.
constexpr double kAlike = 10;
constexpr double kSmallSeconds = 60;
// Results this size or smaller are copied to be looked at (Engine::Materialize).
constexpr double kCopiedBytes = 256 << 20;

// What reaches a stage, or leaves it.
struct Text {
  bool known = true;
  double bytes = 0;
  double held_out_bytes = 0;
};

double SizeOfInput(const ExternalInput& input) {
  double bytes = 0;
  for (const ExternalFile& file : input.files) {
    const absl::StatusOr<int64_t> size = FileSize(file.absolute_path);
    if (!size.ok()) continue;
    const bool compressed = absl::EndsWith(file.relative_path, ".gz") || absl::EndsWith(file.relative_path, ".zst");
    bytes += *size * (compressed ? kCompressed : 1);
  }
  return bytes;
}

class Estimator {
 public:
  Estimator(const ResolvedPipeline& pipeline, const std::vector<StagePlan>& plans, const EstimateOptions& options)
      : pipeline_(pipeline), plans_(plans), options_(options), cpus_(std::max(1, options.cpus)), text_(plans.size()) {}

  RunEstimate Make() {
    RunEstimate estimate;
    std::vector<double> end(plans_.size(), 0);
    double work = 0;
    for (size_t i = 0; i < plans_.size(); ++i) {
      const StageEstimate stage = OfStage(i);
      for (const StageEdge& edge : pipeline_.stages[i].edges) end[i] = std::max(end[i], end[edge.producer]);
      end[i] += stage.seconds;
      work += stage.seconds;
      estimate.seconds = std::max(estimate.seconds, end[i]);
      estimate.disk_bytes += stage.bytes + (stage.bytes <= kCopiedBytes ? stage.bytes : 0);
      estimate.guessed += stage.basis == StageEstimate::Basis::kGuessed;
      estimate.unknown += stage.basis == StageEstimate::Basis::kUnknown;
      estimate.stages.push_back(stage);
    }
    estimate.seconds = std::max(estimate.seconds, work / cpus_);
    return estimate;
  }

 private:
  StageEstimate OfStage(size_t i) {
    const ResolvedStage& stage = pipeline_.stages[i];
    const StagePlan& plan = plans_[i];
    StageEstimate estimate;
    const Text input = InputOf(stage);
    estimate.basis = StageEstimate::Basis::kGuessed;
    if (stage.kind == "train") {
      GuessTraining(stage, estimate);
    } else if (stage.kind == "evaluate") {
      GuessEvaluation(stage, input, estimate);
    } else if (const auto rate = Rates().find(stage.kind); rate != Rates().end() && input.known) {
      estimate.seconds = kStartSeconds + input.bytes / rate->second.bytes_per_second * 2 / std::max(2, cpus_);
      estimate.bytes = TakenOf(stage, input.bytes) * rate->second.written;
    } else {
      estimate.basis = StageEstimate::Basis::kUnknown;
    }
    const double left = plan.total_steps > 0 ? 1 - static_cast<double>(plan.resume_step) / plan.total_steps : 1;
    const double measured = plan.expected_seconds * left * TokensAgainstEarlier(stage, plan);
    if (plan.expected_seconds > 0 && IsOfThisSize(stage, plan, input, estimate, measured)) {
      estimate.basis = StageEstimate::Basis::kMeasured;
      estimate.seconds = measured;
      if (stage.kind != "train") estimate.bytes = plan.expected_bytes;
    }
    text_[i] = OutputOf(stage, plan, input, estimate);
    if (plan.status == StagePlan::Status::kCached) estimate = {};
    return estimate;
  }

  // Of a train stage with a budget in tokens: how many more there are than in the earlier result.
  static double TokensAgainstEarlier(const ResolvedStage& stage, const StagePlan& plan) {
    if (!stage.train_steps || !plan.previous) return 1;
    for (const KeyComponent& component : plan.previous->component()) {
      double before;
      if (component.path() == "max_tokens" && absl::SimpleAtod(component.value(), &before) && before > 0)
        return stage.train_steps->total_steps * stage.train_steps->tokens_per_step / before;
    }
    return 1;
  }

  // Whether the nearest earlier result can be of the same amount of work: another profile's is not.
  bool IsOfThisSize(const ResolvedStage& stage, const StagePlan& plan, const Text& input, const StageEstimate& guess,
                    double measured) const {
    if (stage.kind == "train" && options_.training_seconds != nullptr) return false;
    if (stage.kind != "train" && !input.known) return false;
    if (guess.basis == StageEstimate::Basis::kUnknown) return stage.kind == "custom";
    const auto [less, more] = std::minmax(measured, guess.seconds);
    return more < kSmallSeconds || more < kAlike * less;
  }

  Text InputOf(const ResolvedStage& stage) const {
    Text text;
    for (const ExternalInput& input : stage.external_inputs) {
      text.known = text.known && input.unresolved.empty();
      text.bytes += SizeOfInput(input);
    }
    std::set<int> producers;
    for (const StageEdge& edge : stage.edges) {
      if (edge.artifact == TOKENIZER || edge.artifact == CHECKPOINT || !producers.insert(edge.producer).second)
        continue;
      const Text& from = text_[edge.producer];
      text.known = text.known && from.known;
      text.bytes += from.bytes;
      text.held_out_bytes += from.held_out_bytes;
    }
    return text;
  }

  static double TakenOf(const ResolvedStage& stage, double bytes) {
    if (stage.kind != "corpus") return bytes;
    const auto& corpus = static_cast<const Corpus&>(*stage.parameters);
    const absl::StatusOr<int64_t> take = ParseBytes(corpus.take());
    return corpus.has_take() && take.ok() ? std::min<double>(bytes, *take) : bytes;
  }

  Text OutputOf(const ResolvedStage& stage, const StagePlan& plan, const Text& input,
                const StageEstimate& estimate) const {
    Text text = input;
    if (stage.kind == "custom") {
      text.known = estimate.basis == StageEstimate::Basis::kMeasured;
      text.bytes = estimate.bytes;
      return text;
    }
    const auto rate = Rates().find(stage.kind);
    if (rate == Rates().end()) return text;
    const bool recorded =
        plan.status == StagePlan::Status::kCached || estimate.basis == StageEstimate::Basis::kMeasured;
    if (recorded && plan.expected_bytes > 0 && stage.kind != "mix") {
      text.known = true;
      text.bytes = plan.expected_bytes / rate->second.written;
    } else {
      text.bytes = TakenOf(stage, input.bytes);
    }
    if (stage.kind == "split") {
      const auto& split = static_cast<const Split&>(*stage.parameters);
      text.held_out_bytes = text.bytes * split.held_out_fraction();
      const absl::StatusOr<int64_t> most = ParseBytes(split.held_out_max());
      if (split.has_held_out_max() && most.ok()) text.held_out_bytes = std::min<double>(text.held_out_bytes, *most);
    }
    return text;
  }

  // Seconds of a training step on this machine; 0: not known.
  double StepSeconds(const ResolvedStage& stage, const trainer::ModelConfig& config) const {
    if (!stage.train_steps) return 0;
    const auto& train = static_cast<const Train&>(*stage.parameters);
    const int64_t sequence_length = stage.train_steps->tokens_per_step / train.global_batch_size();
    Cluster here;
    here.add_pool()->set_cpus(cpus_);
    const absl::StatusOr<trainer::Hardware> hardware = trainer::HardwareOf(here, "");
    if (!hardware.ok() || sequence_length <= 0) return 0;
    trainer::Layout layout;
    layout.data_parallel = std::max(1, stage.ranks);
    layout.micro_batch = std::max(1, train.parallel().micro_batch_size());
    return trainer::EstimateStepTime(config, layout, sequence_length, train.global_batch_size(),
                                     trainer::MemoryAssumptions::For(train, /*gradient_bytes=*/8, /*other_bytes=*/0),
                                     *hardware)
        .seconds();
  }

  void GuessTraining(const ResolvedStage& stage, StageEstimate& estimate) const {
    const auto& train = static_cast<const Train&>(*stage.parameters);
    const absl::StatusOr<trainer::ModelConfig> config = trainer::ModelConfigFromProto(train.model());
    double step = config.ok() ? StepSeconds(stage, *config) : 0;
    if (step > 0 && options_.training_seconds != nullptr) {
      const auto there = options_.training_seconds->find(stage.name);
      step = there == options_.training_seconds->end() ? 0 : there->second / stage.train_steps->total_steps;
    }
    if (step <= 0) {
      estimate.basis = StageEstimate::Basis::kUnknown;
      return;
    }
    const StagePlan& plan = plans_[&stage - pipeline_.stages.data()];
    const int64_t steps = stage.train_steps->total_steps - plan.resume_step;
    estimate.seconds = kLoadSeconds + step * steps;
    const absl::StatusOr<trainer::DiskUse> disk = trainer::EstimateDiskUse(*config, train, steps, step);
    // Old checkpoints stay in the cache until garbage is collected, which who trains for days does.
    if (disk.ok()) estimate.bytes = estimate.seconds < 86400 ? disk->written_bytes : disk->peak_bytes;
  }

  void GuessEvaluation(const ResolvedStage& stage, const Text& input, StageEstimate& estimate) const {
    for (const StageEdge& edge : stage.edges) {
      const ResolvedStage& model = pipeline_.stages[edge.producer];
      if (edge.artifact != CHECKPOINT || model.kind != "train" || !model.train_steps || !input.known) continue;
      const auto& train = static_cast<const Train&>(*model.parameters);
      const absl::StatusOr<trainer::ModelConfig> config = trainer::ModelConfigFromProto(train.model());
      if (!config.ok()) continue;
      const double step = StepSeconds(model, *config);
      const double tokens = input.held_out_bytes / kBytesPerToken;
      estimate.seconds = kLoadSeconds + step * kForwardShare * tokens / model.train_steps->tokens_per_step;
      return;
    }
    estimate.basis = StageEstimate::Basis::kUnknown;
  }

  const ResolvedPipeline& pipeline_;
  const std::vector<StagePlan>& plans_;
  const EstimateOptions& options_;
  const int cpus_;
  std::vector<Text> text_;
};

double BytesOfTools(const ResolvedPipeline& pipeline, const RunEstimate& estimate, const ToolManifest& manifest) {
  std::set<std::string> files;  // programs share libraries
  for (size_t i = 0; i < pipeline.stages.size(); ++i) {
    if (estimate.stages[i].basis == StageEstimate::Basis::kNone) continue;
    const auto tool = manifest.tools.find(pipeline.stages[i].tool);
    if (tool == manifest.tools.end()) continue;
    for (const ToolFile& file : tool->second.files) files.insert(file.absolute_path);
  }
  double bytes = 0;
  for (const std::string& file : files) bytes += FileSize(file).value_or(0);
  return bytes;
}

}  // namespace

RunEstimate EstimateRun(const ResolvedPipeline& pipeline, const std::vector<StagePlan>& plans,
                        const EstimateOptions& options) {
  RunEstimate estimate = Estimator(pipeline, plans, options).Make();
  if (options.new_tools != nullptr) estimate.disk_bytes += BytesOfTools(pipeline, estimate, *options.new_tools);
  return estimate;
}

std::string RoughTime(double seconds) {
  const auto whole = [](double value, const char* one, const char* many) {
    const int64_t count = std::max<int64_t>(1, std::llround(value));
    return absl::StrCat(FormatGrouped(count), count == 1 ? one : many);
  };
  if (seconds < 100) return whole(seconds, " s", " s");
  if (seconds < 100 * 60) return whole(seconds / 60, " min", " min");
  if (seconds < 48 * 3600) return whole(seconds / 3600, " hour", " hours");
  if (seconds < 1000 * 86400.0) return whole(seconds / 86400, " day", " days");
  return whole(seconds / (365.25 * 86400), " year", " years");
}

std::string EstimateText(const RunEstimate& estimate) {
  if (estimate.seconds <= 0) return "";
  std::string text = absl::StrCat("about ", RoughTime(estimate.seconds));
  if (estimate.disk_bytes >= 1 << 20) absl::StrAppend(&text, ", ", FormatBytes(estimate.disk_bytes), " of disk");
  if (estimate.unknown > 0) {
    absl::StrAppend(&text, ", and ", estimate.unknown,
                    estimate.unknown == 1 ? " stage of which nothing is known" : " stages of which nothing is known");
  }
  return text;
}

}  // namespace millrace
