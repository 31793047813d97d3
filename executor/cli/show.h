// Artifacts as text for people, told apart by the files they hold. The one place of the executor that knows their
// formats.
#ifndef MILLRACE_EXECUTOR_CLI_SHOW_H_
#define MILLRACE_EXECUTOR_CLI_SHOW_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace millrace {

struct ShowOptions {
  int head = 0;                      // entries to show; 0: as many as suits the kind
  std::vector<std::string> sources;  // names by ordinal
  std::string tokenizer_folder;      // decodes shards and tokens; "" : ids are shown
};

// `folder` holds one artifact: documents, a tokenizer, tokens, shards (training or held out), a mixture, a checkpoint,
// metrics; anything else is listed.
absl::StatusOr<std::string> ShowArtifact(const std::string& folder, const ShowOptions& options);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CLI_SHOW_H_
