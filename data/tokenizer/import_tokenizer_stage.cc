#include "data/tokenizer/import_tokenizer_stage.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/trained_tokenizer.h"

namespace millrace::data {
namespace {

constexpr absl::string_view kJson = "tokenizer.json";
constexpr absl::string_view kConfig = "tokenizer_config.json";

// The folder, relative to `root`, that holds the one tokenizer.json.
absl::StatusOr<std::string> FolderOfTokenizer(const std::string& root) {
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(root));
  std::optional<std::string> found;
  for (const std::string& file : files) {
    if (BaseName(file) != kJson) continue;
    if (found.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("there are two tokenizers: \"", *found, "\" and \"", file,
                                                     "\"\n  fix: name one of them in hugging_face.glob"));
    }
    found = file;
  }
  if (!found.has_value()) {
    return absl::NotFoundError(absl::StrCat("among the ", files.size(), " files there is no tokenizer.json\n",
                                            "  fix: name it in hugging_face.glob, by its full name"));
  }
  return found->substr(0, found->size() - kJson.size());
}

absl::Status Copy(const std::string& from, const std::string& to) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(from));
  return WriteFile(to, file.data());
}

}  // namespace

absl::Status ImportTokenizerStage(Stage& stage, const ::millrace::Tokenizer& parameters) {
  ASSIGN_OR_RETURN(const std::string root, stage.InputPath("files"));
  ASSIGN_OR_RETURN(const std::string out, stage.OutputPath("tokenizer"));
  ASSIGN_OR_RETURN(const std::string folder, FolderOfTokenizer(root));
  const std::string from = JoinPath(root, folder);
  ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Load(JoinPath(from, kJson)));

  RETURN_IF_ERROR(Copy(JoinPath(from, kJson), JoinPath(out, kJson)));
  if (FileExists(JoinPath(from, kConfig))) {
    RETURN_IF_ERROR(Copy(JoinPath(from, kConfig), JoinPath(out, kConfig)));
  } else {
    const std::optional<uint32_t> eos = tokenizer.eos_id();
    const std::string content = eos.has_value() ? *tokenizer.TokenBytes(*eos) : "";
    RETURN_IF_ERROR(WriteFile(JoinPath(out, kConfig), FormatTokenizerConfig(content)));
  }
  if (!tokenizer.eos_id().has_value()) {
    stage.ReportWarning(
        "the tokenizer names no end-of-text token; name it as eos_token in a tokenizer_config.json beside it");
  }
  stage.ReportMetric("vocab_size", tokenizer.vocab_size());
  stage.ReportMetric("merges", tokenizer.merges());
  return absl::OkStatus();
}

}  // namespace millrace::data
