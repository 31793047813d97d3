#include "executor/graph/resolved_pipeline.h"

namespace millrace {

int ResolvedPipeline::FindStage(absl::string_view stage_name) const {
  for (size_t i = 0; i < stages.size(); ++i) {
    if (stages[i].name == stage_name) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace millrace
