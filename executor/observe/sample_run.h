// Events of an invented run of a small language model pipeline, for the tests of viewers. Times are seconds after the
// run's start.
#ifndef MILLRACE_EXECUTOR_OBSERVE_SAMPLE_RUN_H_
#define MILLRACE_EXECUTOR_OBSERVE_SAMPLE_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "executor/engine/run_event.pb.h"

namespace millrace {

inline constexpr int64_t kSampleStartMicros = 1'700'000'000'000'000;

// Seven stages: web_en, web_zh -> unique -> tokenizer -> shards -> pretrain -> base_quality.
RunEvent SampleStarted();
RunEvent SampleStarted(const std::vector<std::string>& custom_stages);
RunEvent SampleState(double seconds, const std::string& stage, StageState state);
RunEvent SampleComplete(double seconds, const std::string& stage, StageState state,
                        const std::vector<std::pair<std::string, double>>& metrics, double duration_seconds);
RunEvent SampleProgress(double seconds, const std::string& stage, double done, double total, const std::string& unit,
                        const std::string& detail = "");
RunEvent SampleMetric(double seconds, const std::string& stage, const std::string& name, double value, int64_t step);
RunEvent SampleFailure(double seconds, const std::string& stage, const std::string& error,
                       const std::vector<std::string>& log_tail);
RunEvent SampleFinished(double seconds, int exit_status);

// From start to end, with curves of `steps` steps, examples, keys, outputs and samples.
std::vector<RunEvent> SampleWholeRun(int64_t steps = 2000);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_SAMPLE_RUN_H_
