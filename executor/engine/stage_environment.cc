#include "executor/engine/stage_environment.h"

#include <unistd.h>

#include <map>
#include <mutex>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "pipelines/schema/custom.pb.h"

namespace millrace {

std::string EnvironmentName(absl::string_view name) {
  std::string upper(name);
  for (char& c : upper) c = absl::ascii_isalnum(c) ? absl::ascii_toupper(c) : '_';
  return upper;
}

std::vector<std::string> StageEnvironment(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                          const StageRequest& request, const std::string& work_folder,
                                          const std::string& runfiles, int threads) {
  std::vector<std::string> environment = {
      absl::StrCat("PATH=", kStagePath),
      absl::StrCat("HOME=", work_folder),
      absl::StrCat("TMPDIR=", work_folder),
      "LANG=C.UTF-8",
      "LC_ALL=C.UTF-8",
      "TZ=UTC",
      "PYTHONDONTWRITEBYTECODE=1",
      "PYTHONHASHSEED=0",
      "MILLRACE_REQUEST=request.json",
  };
  if (!runfiles.empty()) environment.push_back(absl::StrCat("RUNFILES_DIR=", runfiles));
  for (const StageInput& input : request.input())
    environment.push_back(absl::StrCat("MILLRACE_INPUT_", EnvironmentName(input.name()), "=", input.path()));
  for (const StageOutput& output : request.output())
    environment.push_back(absl::StrCat("MILLRACE_OUTPUT_", EnvironmentName(output.name()), "=", output.path()));
  if (stage.kind == "custom") {
    const auto& custom = static_cast<const Custom&>(*stage.parameters);
    for (const Custom::Parameter& parameter : custom.parameter()) {
      environment.push_back(absl::StrCat("MILLRACE_PARAM_", EnvironmentName(parameter.name()), "=", parameter.value()));
    }
  }
  if (stage.ranks > 1 && pipeline.network.has_interface())
    environment.push_back(absl::StrCat("GLOO_SOCKET_IFNAME=", pipeline.network.interface()));
  if (stage.uses_floating_point) {
    environment.push_back(absl::StrCat("OMP_NUM_THREADS=", threads));
    environment.push_back("OMP_WAIT_POLICY=passive");  // waiting threads leave the processor to other stages
    if (pipeline.numerics == CPU_AVX2) {
      environment.insert(environment.end(),
                         {"MKL_CBWR=AVX2,STRICT", "ATEN_CPU_CAPABILITY=avx2", "ONEDNN_MAX_CPU_ISA=AVX2"});
    } else if (pipeline.numerics == CPU_AVX512) {
      environment.insert(environment.end(),
                         {"MKL_CBWR=AVX512,STRICT", "ATEN_CPU_CAPABILITY=avx512", "ONEDNN_MAX_CPU_ISA=AVX512_CORE"});
    }
  }
  return environment;
}

std::string FindProgram(const std::string& name) {
  if (absl::StartsWith(name, "/")) return ::access(name.c_str(), X_OK) == 0 ? name : "";
  static std::mutex mutex;
  static std::map<std::string, std::string>* const found = new std::map<std::string, std::string>;
  std::lock_guard lock(mutex);
  std::string& path = (*found)[name];
  if (!path.empty() || absl::StrContains(name, "/")) return path;
  for (const absl::string_view folder : absl::StrSplit(kStagePath, ':')) {
    std::string candidate = JoinPath(folder, name);
    if (::access(candidate.c_str(), X_OK) == 0) return path = std::move(candidate);
  }
  return path;
}

}  // namespace millrace
