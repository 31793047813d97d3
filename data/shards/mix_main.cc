// The program of the `mix` stage. Metrics: positions, tokens, and per component N "positions.component_N",
// "epochs.component_N", "share.component_N".
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "data/shards/mix.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/mix.pb.h"

namespace millrace::data {
namespace {

absl::Status Run(millrace::Stage& stage, const Mix& parameters) {
  std::vector<std::string> shards;
  for (int i = 0; i < parameters.component_size(); ++i) {
    ASSIGN_OR_RETURN(std::string path, stage.InputPath(absl::StrCat("component.", i, ".from")));
    shards.push_back(std::move(path));
  }
  ASSIGN_OR_RETURN(const std::string folder, stage.OutputPath("mixture"));
  ASSIGN_OR_RETURN(const MixtureManifest manifest,
                   BuildMixture(parameters, stage.seed(), shards, folder, [&](int64_t positions) {
                     stage.ReportProgress(static_cast<double>(positions), std::nullopt, "sequences");
                   }));

  stage.ReportMetric("positions", manifest.positions);
  stage.ReportMetric("tokens", manifest.positions * manifest.sequence_length);
  for (size_t i = 0; i < manifest.components.size(); ++i) {
    const MixtureManifest::Component& component = manifest.components[i];
    const auto positions = static_cast<double>(component.positions);
    stage.ReportMetric(absl::StrCat("positions.component_", i), positions);
    if (component.sequences > 0)
      stage.ReportMetric(absl::StrCat("epochs.component_", i), positions / component.sequences);
    if (manifest.positions > 0) stage.ReportMetric(absl::StrCat("share.component_", i), positions / manifest.positions);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace millrace::data

int main() { return millrace::StageMain<millrace::Mix>(millrace::data::Run); }
