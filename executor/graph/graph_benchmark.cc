// Loading a pipeline of many trivial stages and computing their keys: the part of "nothing to do" that is ours.
//
//   bazel run //executor/graph:graph_benchmark
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "benchmark/benchmark.h"
#include "executor/graph/action_key.h"
#include "executor/graph/load.h"

namespace millrace {
namespace {

std::string ManyStages(int64_t count) {
  std::string text = "name: \"many\"\n";
  for (int64_t i = 0; i < count; ++i) {
    absl::StrAppend(&text, "stage {\n  name: \"s", i,
                    "\"\n  custom { command { argument: \"sh\" argument: \"-c\" argument: ", "\"printf %010d ", i,
                    " > out/out/number\" } output { name: \"out\" } }\n}\n");
  }
  return text;
}

ResolvedPipeline Load(const std::string& text) {
  LoadOptions options;
  options.file = "many.textproto";
  Diagnostics diagnostics;
  auto pipeline = LoadPipeline(text, options, diagnostics);
  MILLRACE_CHECK(pipeline.ok());
  return *std::move(pipeline);
}

void BM_Load(benchmark::State& state) {
  const std::string text = ManyStages(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(Load(text));
}
BENCHMARK(BM_Load)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);

void BM_Keys(benchmark::State& state) {
  const ResolvedPipeline pipeline = Load(ManyStages(state.range(0)));
  for (auto _ : state) {
    for (const ResolvedStage& stage : pipeline.stages) benchmark::DoNotOptimize(MakeKey(pipeline, stage, {}));
  }
}
BENCHMARK(BM_Keys)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);

void BM_KeyRecords(benchmark::State& state) {
  const ResolvedPipeline pipeline = Load(ManyStages(state.range(0)));
  for (auto _ : state) {
    for (const ResolvedStage& stage : pipeline.stages) benchmark::DoNotOptimize(MakeKeyRecord(pipeline, stage, {}));
  }
}
BENCHMARK(BM_KeyRecords)->Arg(10000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace
