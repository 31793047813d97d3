// Keys of a whole pipeline without running it: each output's digest is made up from its stage's key, each file's from
// its content, each tool's from its name.
#ifndef MILLRACE_EXECUTOR_GRAPH_FAKE_KEY_INPUTS_H_
#define MILLRACE_EXECUTOR_GRAPH_FAKE_KEY_INPUTS_H_

#include <map>
#include <string>
#include <vector>

#include "executor/graph/action_key.h"
#include "executor/graph/resolved_pipeline.h"

namespace millrace {

struct FakeKeys {
  std::vector<KeyInputs> inputs;             // by stage
  std::vector<KeyRecord> records;            // by stage
  std::vector<std::string> keys;             // by stage, hex
  std::map<std::string, std::string> named;  // stage name -> key
};

FakeKeys ComputeFakeKeys(const ResolvedPipeline& pipeline);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_FAKE_KEY_INPUTS_H_
