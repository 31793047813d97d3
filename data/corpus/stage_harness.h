// Runs a data stage in a test: documents in, documents and reports out, all in a temporary folder.
#ifndef MILLRACE_DATA_CORPUS_STAGE_HARNESS_H_
#define MILLRACE_DATA_CORPUS_STAGE_HARNESS_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "data/corpus/document.h"
#include "pipelines/protocol/stage.h"

namespace millrace::data {

// What a stage wrote and said.
struct StageOutcome {
  absl::Status status;
  std::vector<Document> documents;           // empty if it failed
  std::map<std::string, std::string> files;  // below out/documents: name -> content
  std::map<std::string, double> metrics;
  std::vector<StageEvent> examples;
  std::vector<std::string> warnings;

  std::vector<std::string> ids() const;
};

// Not thread-safe. The folder is removed at the end.
class StageHarness {
 public:
  StageHarness();
  ~StageHarness();

  // An input of documents.
  void AddInput(absl::string_view name, const std::vector<Document>& documents, int sources = 1);
  // An input of files: relative path -> content.
  void AddFiles(absl::string_view name, const std::map<std::string, std::string>& files);

  StageOutcome Run(const std::function<absl::Status(Stage&)>& body, int threads = 1, uint64_t seed = 0);

  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  StageRequest request_;
  int runs_ = 0;
};

// Lines of the fixtures and corpora: {"id", "text", "lang" or "language"}.
std::vector<Document> DocumentsOfJsonl(const std::string& path);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_CORPUS_STAGE_HARNESS_H_
