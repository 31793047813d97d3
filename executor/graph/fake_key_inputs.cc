#include "executor/graph/fake_key_inputs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/file.h"
#include "base/sha256.h"

namespace millrace {
namespace {

std::string DigestOfText(absl::string_view text) { return absl::StrCat("sha256:", Sha256Hex(text)); }

std::string DigestOfFiles(const ExternalInput& input) {
  if (!input.unresolved.empty()) return DigestOfText(input.described);
  std::string text;
  for (const ExternalFile& file : input.files)
    absl::StrAppend(&text, file.relative_path, "\n", ReadFile(file.absolute_path).value_or(""), "\n");
  return DigestOfText(text);
}

}  // namespace

FakeKeys ComputeFakeKeys(const ResolvedPipeline& pipeline) {
  FakeKeys all;
  for (const ResolvedStage& stage : pipeline.stages) {
    KeyInputs inputs;
    for (const StageEdge& edge : stage.edges)
      inputs.input_digest[edge.name] = DigestOfText(absl::StrCat(all.keys[edge.producer], ".", edge.output));
    for (const ExternalInput& input : stage.external_inputs) inputs.input_digest[input.name] = DigestOfFiles(input);
    if (stage.command.empty()) inputs.tool_digest = DigestOfText(stage.tool);
    const auto record = MakeKeyRecord(pipeline, stage, inputs);
    MILLRACE_CHECK(record.ok());
    const auto key = MakeKey(pipeline, stage, inputs);
    MILLRACE_CHECK(key.ok() && *key == KeyOf(*record));
    all.keys.push_back(HexOf(*key));
    all.named[stage.name] = all.keys.back();
    all.records.push_back(*record);
    all.inputs.push_back(std::move(inputs));
  }
  return all;
}

}  // namespace millrace
