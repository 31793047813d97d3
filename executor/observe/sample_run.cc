#include "executor/observe/sample_run.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

RunEvent At(double seconds) {
  RunEvent event;
  event.set_time_unix_micros(kSampleStartMicros + std::llround(seconds * 1e6));
  return event;
}

void AddStage(RunStarted& started, const std::string& name, const std::string& kind,
              const std::vector<std::pair<std::string, std::string>>& inputs, const std::vector<std::string>& sources) {
  StageInfo* info = started.add_stage();
  info->set_name(name);
  info->set_kind(kind);
  info->set_ranks(kind == "train" ? 2 : 1);
  for (const auto& [input, producer] : inputs) {
    StageInputInfo* to = info->add_input();
    to->set_name(input);
    to->set_stage(producer);
    to->set_output("documents");
  }
  for (const std::string& source : sources) info->add_source(source);
}

std::string Digest(const std::string& of) {
  std::string hex;
  uint64_t state = 1469598103934665603u;
  for (char c : of) state = (state ^ static_cast<uint8_t>(c)) * 1099511628211u;
  while (hex.size() < 64) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    hex += "0123456789abcdef"[state >> 60];
  }
  return hex;
}

void AddComponent(KeyRecord& record, const std::string& path, const std::string& value) {
  KeyComponent* component = record.add_component();
  component->set_path(path);
  component->set_value(value);
  component->set_number_path(absl::StrCat("p.", record.component_size()));
  component->set_canonical(value);
}

void AddExample(ActionEntry& entry, const std::string& group, const std::string& title, const std::string& text) {
  Example* example = entry.add_example();
  example->set_group(group);
  example->set_title(title);
  example->set_text(text);
}

double LossAt(int64_t step) { return 2.2 + 6.1 * std::exp(-step / 140.0) + 0.12 * std::sin(step * 1.7); }

double LearningRateAt(int64_t step, int64_t steps) {
  if (step <= 95) return 4e-3 * step / 95;
  return 4e-3 * (step > steps * 9 / 10 ? 0.1 : step > steps * 8 / 10 ? 0.316 : 1.0);
}

}  // namespace

RunEvent SampleStarted() {
  RunEvent event = At(0);
  RunStarted& started = *event.mutable_run_started();
  started.set_run_id("20231114-221320-7f3a");
  started.set_pipeline("deepseek_7b");
  started.set_profile("laptop");
  started.set_file("pipelines/deepseek_7b.textproto");
  started.set_millrace_version("0.1.0");
  started.set_resolved_text(
      "name: \"deepseek_7b\"\nseed: 42\nstage { name: \"web_en\" corpus { language: \"<en>\" } }\n");
  started.add_argument("--jobs=2");
  started.set_jobs(2);
  started.mutable_machine()->set_host("laptop");
  started.mutable_machine()->set_cpu_model("A processor with two cores");
  started.mutable_machine()->set_cpus(2);
  started.mutable_machine()->set_memory_bytes(int64_t{16} << 30);
  started.mutable_machine()->set_kernel("6.1.0");
  started.mutable_machine()->set_libc("2.36");
  started.mutable_machine()->set_numerics("CPU_AVX2");
  const std::vector<std::string> sources = {"web_en", "web_zh"};
  AddStage(started, "web_en", "corpus", {}, {"web_en"});
  AddStage(started, "web_zh", "corpus", {}, {"web_zh"});
  AddStage(started, "unique", "dedup", {{"from.0", "web_en"}, {"from.1", "web_zh"}}, sources);
  AddStage(started, "tokenizer", "train_tokenizer", {{"from.0", "unique"}}, {});
  AddStage(started, "shards", "pack", {{"from", "unique"}, {"tokenizer", "tokenizer"}}, sources);
  AddStage(started, "pretrain", "train", {{"data", "shards"}, {"tokenizer", "tokenizer"}}, {});
  AddStage(started, "base_quality", "evaluate",
           {{"model", "pretrain"}, {"tokenizer", "tokenizer"}, {"likelihood.data", "shards"}}, sources);
  return event;
}

RunEvent SampleStarted(const std::vector<std::string>& custom_stages) {
  RunEvent event = SampleStarted();
  event.mutable_run_started()->clear_stage();
  for (const std::string& name : custom_stages) AddStage(*event.mutable_run_started(), name, "custom", {}, {});
  return event;
}

RunEvent SampleState(double seconds, const std::string& stage, StageState state) {
  RunEvent event = At(seconds);
  event.mutable_stage_changed()->set_stage(stage);
  event.mutable_stage_changed()->set_state(state);
  if (state == RUNNING) event.mutable_stage_changed()->set_attempt(1);
  return event;
}

RunEvent SampleComplete(double seconds, const std::string& stage, StageState state,
                        const std::vector<std::pair<std::string, double>>& metrics, double duration_seconds) {
  RunEvent event = SampleState(seconds, stage, state);
  StageChanged& change = *event.mutable_stage_changed();
  change.set_key(Digest(stage));
  AddComponent(*change.mutable_key_record(), "kind", stage);
  AddComponent(*change.mutable_key_record(), "input.from.0", absl::StrCat("sha256:", Digest(stage + "input")));
  AddComponent(*change.mutable_key_record(), "tool", absl::StrCat("sha256:", Digest(stage + "tool")));
  change.set_tool_digest(absl::StrCat("sha256:", Digest(stage + "tool")));
  ActionEntry& entry = *change.mutable_entry();
  entry.set_duration_seconds(duration_seconds);
  entry.set_peak_memory_bytes(int64_t{123} << 20);
  entry.set_cpu_seconds(duration_seconds * 1.5);
  OutputTree* output = entry.add_output();
  output->set_name("documents");
  output->set_digest(absl::StrCat("sha256:", Digest(stage + "output")));
  output->set_files(3);
  output->set_size_bytes(17'000'000);
  for (const auto& [name, value] : metrics) {
    Metric* metric = entry.add_metric();
    metric->set_name(name);
    metric->set_value(value);
  }
  return event;
}

RunEvent SampleProgress(double seconds, const std::string& stage, double done, double total, const std::string& unit,
                        const std::string& detail) {
  RunEvent event = At(seconds);
  event.mutable_stage_reported()->set_stage(stage);
  Progress& progress = *event.mutable_stage_reported()->mutable_event()->mutable_progress();
  progress.set_done(done);
  if (total > 0) progress.set_total(total);
  progress.set_unit(unit);
  if (!detail.empty()) progress.set_detail(detail);
  return event;
}

RunEvent SampleMetric(double seconds, const std::string& stage, const std::string& name, double value, int64_t step) {
  RunEvent event = At(seconds);
  event.mutable_stage_reported()->set_stage(stage);
  Metric& metric = *event.mutable_stage_reported()->mutable_event()->mutable_metric();
  metric.set_name(name);
  metric.set_value(value);
  metric.set_step(step);
  return event;
}

RunEvent SampleFailure(double seconds, const std::string& stage, const std::string& error,
                       const std::vector<std::string>& log_tail) {
  RunEvent event = SampleState(seconds, stage, FAILED);
  StageChanged& change = *event.mutable_stage_changed();
  change.set_error(error);
  for (const std::string& line : log_tail) change.add_log_tail(line);
  change.set_log_path(absl::StrCat(stage, "/rank0.log"));
  return event;
}

RunEvent SampleFinished(double seconds, int exit_status) {
  RunEvent event = At(seconds);
  event.mutable_run_finished()->set_exit_status(exit_status);
  event.mutable_run_finished()->set_duration_seconds(seconds);
  return event;
}

std::vector<RunEvent> SampleWholeRun(int64_t steps) {
  std::vector<RunEvent> events = {SampleStarted()};
  events.push_back(SampleComplete(0.01, "web_en", CACHED, {{"documents", 2600}, {"bytes", 13e6}}, 0.4));
  events.push_back(SampleComplete(0.01, "web_zh", CACHED, {{"documents", 517}, {"bytes", 4e6}}, 0.3));
  events.push_back(SampleState(0.02, "unique", RUNNING));
  events.push_back(SampleProgress(0.5, "unique", 900, 3117, "documents"));
  RunEvent unique = SampleComplete(1.92, "unique", COMPLETE,
                                   {{"documents_kept", 2684},
                                    {"exact_duplicates", 401},
                                    {"near_duplicates", 32},
                                    {"documents_kept.source_0", 2200},
                                    {"documents_kept.source_1", 484}},
                                   1.9);
  ActionEntry& unique_entry = *unique.mutable_stage_changed()->mutable_entry();
  AddExample(unique_entry, "dropped: near duplicate", "web_en.jsonl:17 ~ web_en.jsonl:4 (0.91)",
             "A page <b>with markup</b> & ampersands, that stood twice.");
  AddExample(unique_entry, "dropped: exact duplicate", "web_zh.jsonl:3", "深度学习是机器学习的分支。");
  events.push_back(unique);
  events.push_back(SampleState(1.93, "tokenizer", RUNNING));
  events.push_back(SampleComplete(5.0, "tokenizer", COMPLETE, {{"vocab_size", 4096}}, 3.1));
  events.push_back(SampleState(5.01, "shards", RUNNING));
  events.push_back(SampleComplete(5.9, "shards", COMPLETE,
                                  {{"tokens", 4.6e6}, {"bytes_per_token", 3.4}, {"held_out_tokens", 94e3}}, 0.8));
  RunEvent running = SampleState(6.0, "pretrain", RUNNING);
  running.mutable_stage_changed()->set_total_steps(steps);
  events.push_back(running);
  for (int64_t step = 10; step <= steps; step += 10) {
    const double seconds = 6.0 + 150.0 * step / steps;
    events.push_back(SampleMetric(seconds, "pretrain", "loss", LossAt(step), step));
    events.push_back(SampleMetric(seconds, "pretrain", "learning_rate", LearningRateAt(step, steps), step));
    if (step % 50 == 0) {
      events.push_back(SampleMetric(seconds, "pretrain", "validation_loss", LossAt(step) + 0.15, step));
    }
    events.push_back(SampleMetric(seconds, "pretrain", "time.tokens_per_second",
                                  16000 + 300 * std::sin(step * 0.1) - (step % 500 == 0 ? 6000 : 0), step));
  }
  RunEvent trained = SampleComplete(156.2, "pretrain", COMPLETE, {{"parameters", 933'000}}, 150.1);
  trained.mutable_stage_changed()->mutable_entry()->mutable_output(0)->set_name("checkpoint");
  events.push_back(trained);
  events.push_back(SampleState(156.3, "base_quality", RUNNING));
  RunEvent evaluated = SampleComplete(162.0, "base_quality", COMPLETE,
                                      {{"loss", 4.71},
                                       {"perplexity", 111},
                                       {"bits_per_byte", 2.038},
                                       {"bits_per_byte.source_0", 2.003},
                                       {"bits_per_byte.source_1", 2.119},
                                       {"gzip_bits_per_byte_per_document", 3.330},
                                       {"gzip_bits_per_byte_per_document.source_0", 2.797},
                                       {"gzip_bits_per_byte_per_document.source_1", 4.907},
                                       {"gzip_bits_per_byte_concatenated", 2.657},
                                       {"gzip_bits_per_byte_concatenated.source_0", 2.516},
                                       {"gzip_bits_per_byte_concatenated.source_1", 3.051}},
                                      5.7);
  AddExample(
      *evaluated.mutable_stage_changed()->mutable_entry(), "sample", "An attention function can be described as",
      "An attention function can be described as a set of the\nhouse of the LORD </script><script>alert(1)</script>");
  AddExample(*evaluated.mutable_stage_changed()->mutable_entry(), "sample", "深度学习是",
             "深度学习是一个函数，用于计算。");
  events.push_back(evaluated);
  RunEvent finished = SampleFinished(162.1, 0);
  finished.mutable_run_finished()->set_stages_run(5);
  finished.mutable_run_finished()->set_stages_cached(2);
  finished.mutable_run_finished()->set_saved_seconds(0.7);
  events.push_back(finished);
  return events;
}

}  // namespace millrace
