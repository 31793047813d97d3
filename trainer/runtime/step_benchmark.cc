// Speed of the laptop profile's step (0.93 M parameters, 8 sequences of 128) on a gang of processes over Gloo, and
// where its time goes.
//
//   bazel run //trainer/runtime:step_benchmark -- [ranks] [threads of each] [steps] [leaves] [MiB of a bucket] [0: no
//   shared memory]
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "ATen/Parallel.h"
#include "base/status_macros.h"
#include "trainer/comm/gloo_comm.h"
#include "trainer/comm/shared_memory_comm.h"
#include "trainer/model/model.h"
#include "trainer/model/numerics.h"
#include "trainer/runtime/step_runner.h"
#include "trainer/runtime/testing.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kBatch = 8, kLength = 128;

struct Arguments {
  int ranks = 2, threads = 1, steps = 100, leaves = 2;
  double bucket_mib = 32;
  bool shared_memory = true;
};

absl::Status Run(const Arguments& arguments, int rank, int port) {
  at::set_num_threads(arguments.threads);
  std::unique_ptr<Comm> comm = std::make_unique<SingleComm>();
  if (arguments.ranks > 1) {
    ASSIGN_OR_RETURN(comm, NewGlooComm({.rank = rank, .world_size = arguments.ranks, .master_port = port}));
    if (arguments.shared_memory) comm = NewSharedMemoryComm(std::move(comm));
  }
  ModelConfig config = SmallModel(/*tied=*/true);
  config.hidden_size = 128;
  config.intermediate_size = 352;
  config.num_key_value_heads = 2;
  config.vocab_size = 4096;
  config.max_position_embeddings = kLength;
  const auto model = BuildModel(config, 1024, kLength);
  TrainState state(model);
  state.Initialize(1);
  MadeUpLeaves source(arguments.leaves, kBatch / arguments.leaves, kLength, config.vocab_size);
  StepOptions options{.num_leaves = arguments.leaves};
  options.bucket_bytes = static_cast<int64_t>(arguments.bucket_mib * 1048576);
  ASSIGN_OR_RETURN(const auto runner, StepRunner::New(model, state, *comm, source, options));
  for (int step = 1; step <= 5; ++step) RETURN_IF_ERROR(runner->RunStep(step, 1e-3, {}).status());
  runner->TakeSeconds();
  const auto start = std::chrono::steady_clock::now();
  for (int step = 6; step < 6 + arguments.steps; ++step) RETURN_IF_ERROR(runner->RunStep(step, 1e-3, {}).status());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (rank != 0) return absl::OkStatus();
  std::printf("%lld parameters, %d ranks x %d threads, %d leaves: %.2f ms a step, %.0f tokens/s\n",
              static_cast<long long>(state.num_parameters()), arguments.ranks, arguments.threads, arguments.leaves,
              1e3 * seconds / arguments.steps, arguments.steps * kBatch * kLength / seconds);
  double inside = 0;
  for (const auto& [op, spent] : runner->TakeSeconds()) {
    inside += spent;
    std::printf("  %-12s %7.3f ms\n", std::string(OpName(op)).c_str(), 1e3 * spent / arguments.steps);
  }
  std::printf("  %-12s %7.3f ms\n", "other", 1e3 * (seconds - inside) / arguments.steps);
  return absl::OkStatus();
}

}  // namespace
}  // namespace millrace::trainer

int main(int argc, char** argv) {
  millrace::trainer::EnsureNumericsEnvironment(argv);
  millrace::trainer::Arguments arguments;
  if (argc > 1) arguments.ranks = std::atoi(argv[1]);
  if (argc > 2) arguments.threads = std::atoi(argv[2]);
  if (argc > 3) arguments.steps = std::atoi(argv[3]);
  if (argc > 4) arguments.leaves = std::atoi(argv[4]);
  if (argc > 5) arguments.bucket_mib = std::atof(argv[5]);
  if (argc > 6) arguments.shared_memory = std::atoi(argv[6]) != 0;
  const int port = 20000 + ::getpid() % 20000;
  int rank = 0;
  for (int r = 1; r < arguments.ranks && rank == 0; ++r) {
    if (::fork() == 0) rank = r;
  }
  const absl::Status status = millrace::trainer::Run(arguments, rank, port);
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  while (rank == 0 && ::wait(nullptr) > 0) {
  }
  return status.ok() ? 0 : 1;
}
