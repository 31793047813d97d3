// What an evaluation found, by name (README.md lists the names), and metrics.json.
#ifndef MILLRACE_TRAINER_EVAL_METRICS_H_
#define MILLRACE_TRAINER_EVAL_METRICS_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "trainer/eval/gzip_baseline.h"
#include "trainer/eval/likelihood.h"

namespace millrace::trainer {

using Metrics = std::map<std::string, double>;

// A figure that would be divided by nothing (bits per byte of no bytes) is left out.
void AddLikelihood(const LikelihoodBySource& likelihood, Metrics& metrics);
// With what compares the model with it, "bits_per_byte_over_gzip".
void AddGzipBaseline(const GzipBySource& gzip, const LikelihoodBySource& likelihood, Metrics& metrics);

struct SampledText {
  std::string prompt;
  std::string text;
};

// {"metrics": {...}, "samples": [{"prompt", "text"}], "window": "..."}, ending with a newline. Metrics are sorted by
// name; numbers have as many digits as it takes to read them back exactly, whole ones no fraction. `window_rule` "":
// left out.
std::string MetricsJson(const Metrics& metrics, const std::vector<SampledText>& samples,
                        const std::string& window_rule);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_EVAL_METRICS_H_
