#include "data/corpus/stage_harness.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "google/protobuf/util/json_util.h"

namespace millrace::data {

std::vector<std::string> StageOutcome::ids() const {
  std::vector<std::string> ids;
  for (const Document& document : documents) ids.push_back(document.id);
  return ids;
}

StageHarness::StageHarness() : folder_(*MakeTempDirectory("stage")) {}

StageHarness::~StageHarness() { (void)RemoveTree(folder_); }

void StageHarness::AddInput(absl::string_view name, const std::vector<Document>& documents, int sources) {
  const std::string path = JoinPath(folder_, absl::StrCat("in/", name));
  MILLRACE_CHECK(CreateDirectories(path).ok());
  DocumentWriter writer(path);
  for (const Document& document : documents) MILLRACE_CHECK(writer.Write(document).ok());
  MILLRACE_CHECK(writer.Close(sources).ok());
  StageInput* input = request_.add_input();
  input->set_name(std::string(name));
  input->set_path(path);
}

void StageHarness::AddFiles(absl::string_view name, const std::map<std::string, std::string>& files) {
  const std::string folder = JoinPath(folder_, absl::StrCat("in/", name));
  MILLRACE_CHECK(CreateDirectories(folder).ok());
  for (const auto& [path, content] : files) {
    const std::string file = JoinPath(folder, path);
    MILLRACE_CHECK(CreateDirectories(file.substr(0, file.rfind('/'))).ok());
    MILLRACE_CHECK(WriteFile(file, content).ok());
  }
  StageInput* input = request_.add_input();
  input->set_name(std::string(name));
  input->set_path(folder);
}

StageOutcome StageHarness::Run(const std::function<absl::Status(Stage&)>& body, int threads, uint64_t seed) {
  const std::string run = JoinPath(folder_, absl::StrCat("run", runs_++));
  const std::string out = JoinPath(run, "out/documents");
  MILLRACE_CHECK(CreateDirectories(out).ok());
  StageRequest request = request_;
  request.set_seed(seed);
  StageOutput* output = request.add_output();
  output->set_name("documents");
  output->set_path(out);
  StageGang gang;
  gang.set_threads(threads);
  StageOutcome outcome;
  {
    Stage stage(request, gang, JoinPath(run, "events"));
    outcome.status = body(stage);
  }
  std::istringstream events(*ReadFile(JoinPath(run, "events")));
  for (std::string line; std::getline(events, line);) {
    StageEvent event;
    MILLRACE_CHECK(google::protobuf::util::JsonStringToMessage(line, &event).ok());
    if (event.has_metric()) {
      MILLRACE_CHECK(outcome.metrics.emplace(event.metric().name(), event.metric().value()).second);
    }
    if (event.has_example()) outcome.examples.push_back(event);
    if (event.has_warning()) outcome.warnings.push_back(event.warning());
  }
  if (!outcome.status.ok()) return outcome;
  const std::vector<std::string> names = *ListFiles(out);
  for (const std::string& name : names) outcome.files[name] = *ReadFile(JoinPath(out, name));
  DocumentReader reader = *DocumentReader::Open(out);
  Document document;
  while (*reader.Next(document)) outcome.documents.push_back(document);
  return outcome;
}

std::vector<Document> DocumentsOfJsonl(const std::string& path) {
  std::vector<Document> documents;
  std::istringstream lines(*ReadFile(path));
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json json = nlohmann::json::parse(line);
    Document document;
    document.id = json.at("id");
    document.text = json.at("text");
    document.language = json.value("lang", json.value("language", ""));
    documents.push_back(std::move(document));
  }
  return documents;
}

}  // namespace millrace::data
