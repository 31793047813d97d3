// Tokens per second and memory of optimizer steps, the way a training run takes them.
//
//   throughput [--model=10m|laptop] [--threads=N] [--ranks=N] [--leaf_sequences=N] [--steps=N]
//
// Prints one line of JSON: {"tok_s", "step_s" (median), "cpu_s" (of all threads, mean of the steps: what to compare on
// a busy machine), "peak_rss_mb", "loss" (of the last step)}. Ranks are threads of this process, each with N threads.
// peer_pytorch.py beside this file prints the same for PyTorch.
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/empty.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "trainer/comm/thread_comm.h"
#include "trainer/model/initialize.h"
#include "trainer/model/model.h"
#include "trainer/model/numerics.h"
#include "trainer/runtime/leaf_source.h"
#include "trainer/runtime/step_runner.h"
#include "trainer/runtime/train_state.h"

ABSL_FLAG(std::string, model, "10m", "10m (global batch 4 x 512) or laptop (8 x 128)");
ABSL_FLAG(int, threads, 2, "threads of each rank");
ABSL_FLAG(int, ranks, 1, "ranks");
ABSL_FLAG(int64_t, leaf_sequences, 1, "sequences that enter a kernel together");
ABSL_FLAG(int, steps, 10, "measured steps, after two that are not");

namespace millrace::trainer {
namespace {

constexpr int kWarmUpSteps = 2;

struct Workload {
  ModelConfig config;
  int64_t sequences;
  int64_t length;
  double learning_rate;
};

Workload WorkloadOf(const std::string& name) {
  Workload w;
  ModelConfig& c = w.config;
  if (name == "laptop") {
    c.num_hidden_layers = 2;
    c.hidden_size = 128;
    c.intermediate_size = 352;
    c.num_attention_heads = c.num_key_value_heads = 2;
    c.vocab_size = 4096;
    c.tie_word_embeddings = true;
    c.initializer_range = 0.06;
    w.sequences = 8;
    w.length = 128;
    w.learning_rate = 4e-3;
  } else {
    c.num_hidden_layers = 8;
    c.hidden_size = 256;
    c.intermediate_size = 688;
    c.num_attention_heads = c.num_key_value_heads = 8;
    c.vocab_size = 8192;
    w.sequences = 4;
    w.length = 512;
    w.learning_rate = 1e-3;
  }
  c.max_position_embeddings = w.length;
  return w;
}

// Other ids each step.
class MadeUpIds : public LeafSource {
 public:
  MadeUpIds(const Workload& workload, int64_t leaf_sequences)
      : workload_(workload), leaf_sequences_(leaf_sequences), random_(1, "throughput") {}

  absl::Status BeginStep(int64_t step) override {
    step_ = step;
    return absl::OkStatus();
  }
  double loss_divisor() const override { return static_cast<double>(leaf_sequences_ * workload_.length); }
  absl::Status Load(int64_t index, Leaf& leaf) override {
    leaf.sequences = leaf_sequences_;
    leaf.length = workload_.length;
    leaf.loss_divisor = loss_divisor();
    const int64_t rows = leaf.sequences * leaf.length;
    if (!leaf.ids_M.defined()) {
      leaf.ids_M = at::empty({rows}, at::kLong);
      leaf.targets_M = at::empty({rows}, at::kLong);
      leaf.positions_M = at::arange(leaf.length, at::kInt).repeat({leaf.sequences});
    }
    const auto id = [&](int64_t row) {
      const uint64_t place = (static_cast<uint64_t>(step_) << 32) + static_cast<uint64_t>(index * (rows + 1) + row);
      return static_cast<int64_t>(random_.Bits(place) % static_cast<uint64_t>(workload_.config.vocab_size));
    };
    for (int64_t row = 0; row < rows; ++row) {
      leaf.ids_M.mutable_data_ptr<int64_t>()[row] = id(row);
      leaf.targets_M.mutable_data_ptr<int64_t>()[row] = id(row + 1);
    }
    return absl::OkStatus();
  }

 private:
  const Workload& workload_;
  const int64_t leaf_sequences_;
  const CounterRandom random_;
  int64_t step_ = 0;
};

double CpuSeconds() {
  timespec time = {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

absl::Status RunRank(const Workload& workload, Comm& comm, nlohmann::json& result) {
  at::set_num_threads(absl::GetFlag(FLAGS_threads));
  const int64_t leaf_sequences = absl::GetFlag(FLAGS_leaf_sequences);
  const auto model = BuildModel(workload.config, 1024, workload.length);
  TrainState state(model);
  state.Initialize(1);
  MadeUpIds source(workload, leaf_sequences);
  StepOptions options;
  options.num_leaves = workload.sequences / leaf_sequences;
  ASSIGN_OR_RETURN(const auto runner, StepRunner::New(model, state, comm, source, options));
  std::vector<double> seconds;
  double cpu_start = 0;
  StepResult step;
  for (int s = 1; s <= kWarmUpSteps + absl::GetFlag(FLAGS_steps); ++s) {
    if (s == kWarmUpSteps + 1) cpu_start = CpuSeconds();
    const auto start = std::chrono::steady_clock::now();
    ASSIGN_OR_RETURN(step, runner->RunStep(s, workload.learning_rate, {}));
    if (s > kWarmUpSteps) {
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  }
  if (comm.rank() != 0) return absl::OkStatus();
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  result = {{"tok_s", static_cast<double>(workload.sequences * workload.length) / median},
            {"step_s", median},
            {"cpu_s", (CpuSeconds() - cpu_start) / static_cast<double>(seconds.size())},
            {"peak_rss_mb", static_cast<double>(usage.ru_maxrss) / 1024},
            {"loss", step.loss}};
  return absl::OkStatus();
}

}  // namespace
}  // namespace millrace::trainer

int main(int argc, char** argv) {
  millrace::trainer::EnsureNumericsEnvironment(argv);
  absl::ParseCommandLine(argc, argv);
  const millrace::trainer::Workload workload = millrace::trainer::WorkloadOf(absl::GetFlag(FLAGS_model));
  nlohmann::json result;
  for (const absl::Status& status : millrace::trainer::RunThreadGang(
           absl::GetFlag(FLAGS_ranks),
           [&](millrace::trainer::Comm& comm) { return millrace::trainer::RunRank(workload, comm, result); })) {
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
      return 1;
    }
  }
  std::printf("%s\n", result.dump().c_str());
  return 0;
}
