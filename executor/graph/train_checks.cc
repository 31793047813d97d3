// The checks of `train` stages: batch, model, data, schedule.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "executor/graph/stage_checks.h"
#include "trainer/arch/learning_rate.h"
#include "trainer/arch/model_config.h"

namespace millrace {
namespace {

constexpr int64_t kMaxSteps = 10'000'000;  // each has its learning rate in memory

class TrainChecker {
 public:
  TrainChecker(const CheckContext& context, const StageDraft& draft, const Train& train, const StageFacts& facts)
      : context_(context), draft_(draft), train_(train), facts_(facts) {}

  void Check(ResolvedStage& resolved) {
    CheckBatch();
    CheckModel();
    CheckTokenizer();
    CheckSteps(resolved);
  }

 private:
  void Error(absl::string_view path, absl::string_view what, std::string why, std::string fix) {
    context_.diagnostics.AddError(context_.sources.At(PlaceOf(*draft_.body, path)),
                                  absl::StrCat("stage \"", draft_.name, "\": ", what), std::move(why), std::move(fix));
  }
  void Warn(absl::string_view path, absl::string_view what, std::string why, std::string fix) {
    context_.diagnostics.AddWarning(context_.sources.At(PlaceOf(*draft_.body, path)),
                                    absl::StrCat("stage \"", draft_.name, "\": ", what), std::move(why),
                                    std::move(fix));
  }

  // "use 496 or 504"
  static std::string Nearest(int64_t value, int64_t multiple) {
    const int64_t below = value / multiple * multiple;
    return below == 0 ? absl::StrCat("use ", multiple) : absl::StrCat("use ", below, " or ", below + multiple);
  }

  void CheckBatch() {
    const int64_t leaf = context_.reproducibility.leaf_sequences();
    const int64_t batch = train_.global_batch_size();
    if (leaf < 1 || batch < 1) return;
    const char* why = "a leaf is the only unit that enters a kernel, so a batch is whole leaves";
    if (batch % leaf != 0) {
      Error("global_batch_size",
            absl::StrCat("global_batch_size ", batch, " is not a multiple of leaf_sequences ", leaf), why,
            Nearest(batch, leaf));
      return;
    }
    const Parallel& parallel = train_.parallel();
    if (parallel.has_micro_batch_size() && parallel.micro_batch_size() >= 1 &&
        parallel.micro_batch_size() % leaf != 0) {
      Error(
          "parallel.micro_batch_size",
          absl::StrCat("micro_batch_size ", parallel.micro_batch_size(), " is not a multiple of leaf_sequences ", leaf),
          why, Nearest(parallel.micro_batch_size(), leaf));
    }
    const int64_t leaves = batch / leaf;
    if (parallel.data_parallel_size() > leaves) {
      Error("parallel.data_parallel_size",
            absl::StrCat("data_parallel_size ", parallel.data_parallel_size(), " is more than a step's ", leaves,
                         leaves == 1 ? " leaf" : " leaves"),
            absl::StrCat("global_batch_size ", batch, " in leaves of ", leaf, "; ranks without a leaf would wait"),
            absl::StrCat("data_parallel_size: ", leaves));
    }
  }

  void CheckModel() {
    if (const Node* node = draft_.body->Child("model"); node == nullptr || node->damaged) return;
    const auto report = [&](const std::vector<trainer::ConfigProblem>& problems) {
      for (const trainer::ConfigProblem& problem : problems)
        Error(absl::StrCat("model.", problem.field), problem.what, problem.why, problem.fix);
    };
    const std::vector<trainer::ConfigProblem> problems = trainer::Validate(train_.model());
    report(problems);
    if (!problems.empty()) return;
    const Reference* tokenizer = draft_.Find("tokenizer");
    const int64_t vocabulary =
        tokenizer == nullptr || tokenizer->producer < 0 ? 0 : context_.facts[tokenizer->producer].vocabulary_size;
    report(trainer::ValidateAgainstData(train_.model(), facts_.sequence_length, vocabulary));
    const Reference* validation = draft_.Find("validation.data");
    if (validation == nullptr || validation->producer < 0) return;
    const int64_t length = context_.facts[validation->producer].sequence_length;
    if (length > train_.model().max_position_embeddings() && length != facts_.sequence_length) {
      Error("validation.data",
            absl::StrCat("sequences of ", length, " ids are longer than max_position_embeddings ",
                         train_.model().max_position_embeddings()),
            absl::StrCat("\"", validation->value->text, "\" is packed to that length"), "");
    }
  }

  // Ids of the data are read as ids of the model's tokenizer.
  void CheckTokenizer() {
    const Reference* tokenizer = draft_.Find("tokenizer");
    if (tokenizer == nullptr || tokenizer->producer < 0) return;
    for (const char* path : {"data", "validation.data"}) {
      const Reference* data = draft_.Find(path);
      if (data == nullptr || data->producer < 0) continue;
      const int made_by = context_.facts[data->producer].tokenizer;
      if (made_by < 0 || made_by == tokenizer->producer) continue;
      Error(path, absl::StrCat("\"", data->value->text, "\" has the ids of another tokenizer"),
            absl::StrCat("they are those of \"", context_.drafts[made_by].name, "\", `tokenizer` is \"",
                         tokenizer->value->text, "\""),
            absl::StrCat("tokenizer: \"", context_.drafts[made_by].name, "\""));
    }
  }

  void CheckSteps(ResolvedStage& resolved) {
    if (draft_.body->damaged || train_.global_batch_size() < 1) return;
    if (facts_.sequence_length == 0) {
      if (train_.has_max_steps() || facts_.incomplete) return;
      Error("max_tokens", "how many steps max_tokens is cannot be known",
            absl::StrCat("the length of the sequences in \"", draft_.body->Text("data"), "\" is not known here"),
            "max_steps: ...");
      return;
    }
    const auto total = trainer::TotalSteps(train_, facts_.sequence_length);
    if (!total.ok()) return;  // values that cannot be used have been reported where they stand
    ResolvedStage::TrainSteps steps;
    steps.total_steps = *total;
    steps.tokens_per_step = trainer::TokensPerStep(train_, facts_.sequence_length);
    if (steps.total_steps > kMaxSteps) {
      Error(train_.has_max_steps() ? "max_steps" : "max_tokens",
            absl::StrCat("the budget is ", steps.total_steps, " steps of ", steps.tokens_per_step, " tokens"),
            absl::StrCat("a run has at most ", kMaxSteps, " steps"), "a larger global_batch_size, or a smaller budget");
      return;
    }
    if (!CheckSchedule(steps)) return;
    const Optimizer::AdamW& adamw = train_.optimizer().adamw();
    const char* why = "the first step would divide zero by zero (Kingma and Ba, arXiv:1412.6980, algorithm 1)";
    if (adamw.beta1() >= 1) Error("optimizer.adamw.beta1", "beta1 is 1", why, "beta1: 0.9");
    if (adamw.beta2() >= 1) Error("optimizer.adamw.beta2", "beta2 is 1", why, "beta2: 0.95");
    if (adamw.epsilon() <= 0) Error("optimizer.adamw.epsilon", "epsilon is 0", why, "epsilon: 1e-8");
    const double peak = adamw.learning_rate();
    steps.learning_rate.reserve(static_cast<size_t>(*total));
    for (int64_t step = 1; step <= *total; ++step) {
      steps.learning_rate.push_back(
          trainer::LearningRateAt(train_.schedule(), peak, step, steps.total_steps, steps.tokens_per_step));
    }
    resolved.train_steps = std::move(steps);
  }

  bool CheckSchedule(const ResolvedStage::TrainSteps& steps) {
    const LearningRateSchedule& schedule = train_.schedule();
    if (schedule.warmup_steps() > steps.total_steps) {
      Warn("schedule.warmup_steps",
           absl::StrCat("warm-up of ", schedule.warmup_steps(), " steps does not end in the ", steps.total_steps,
                        " steps of the budget"),
           "the learning rate never reaches its peak", "a shorter warm-up, or a larger budget");
    }
    bool good = true;
    int64_t previous = 0;
    for (int i = 0; i < schedule.multi_step().milestone_size(); ++i) {
      const auto& milestone = schedule.multi_step().milestone(i);
      if (milestone.when_case() == LearningRateSchedule::Milestone::WHEN_NOT_SET) return false;
      const std::string path = absl::StrCat("schedule.multi_step.milestone.", i);
      const int64_t first = trainer::FirstStepOf(milestone, steps.total_steps, steps.tokens_per_step);
      if (first < previous) {
        Error(path, absl::StrCat("milestone ", i + 1, " comes before milestone ", i),
              absl::StrCat("it begins at step ", first, ", the one before at step ", previous),
              "milestones in the order of their steps");
        good = false;
      }
      previous = first;
      if (milestone.has_at_tokens() && first > steps.total_steps) {
        Warn(path, absl::StrCat("milestone ", i + 1, " is after the last step"),
             absl::StrCat("it would begin at step ", first, " of ", steps.total_steps), "");
      }
    }
    return good;
  }

  const CheckContext& context_;
  const StageDraft& draft_;
  const Train& train_;
  const StageFacts& facts_;
};

}  // namespace

void CheckTrain(const CheckContext& context, const StageDraft& draft, const Train& train, const StageFacts& facts,
                ResolvedStage& resolved) {
  TrainChecker(context, draft, train, facts).Check(resolved);
}

}  // namespace millrace
