#include "executor/graph/resolved_pipeline.h"

#include "executor/graph/syntax_tree.h"

namespace millrace {

Location ResolvedStage::OriginOf(absl::string_view path) const {
  if (written == nullptr) return location;
  return sources_of_text->At(PlaceOf(*written, path));
}

int ResolvedPipeline::FindStage(absl::string_view stage_name) const {
  for (size_t i = 0; i < stages.size(); ++i) {
    if (stages[i].name == stage_name) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace millrace
