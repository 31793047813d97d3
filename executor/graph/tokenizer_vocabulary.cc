#include "executor/graph/tokenizer_vocabulary.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "simdjson.h"

namespace millrace {

absl::StatusOr<int64_t> VocabularySizeOf(const std::string& tokenizer_json_path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(tokenizer_json_path));
  const simdjson::padded_string json(text);
  simdjson::ondemand::parser parser;
  const auto bad = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat(tokenizer_json_path, ": ", what));
  };
  simdjson::ondemand::document document;
  if (parser.iterate(json).get(document) != simdjson::SUCCESS) return bad("is not JSON");
  simdjson::ondemand::object root;
  if (document.get_object().get(root) != simdjson::SUCCESS) return bad("is not a JSON object");
  int64_t largest = -1;
  bool has_vocabulary = false;
  for (auto field : root) {
    simdjson::ondemand::raw_json_string key;
    if (field.key().get(key) != simdjson::SUCCESS) return bad("is not JSON");
    if (key == "added_tokens") {
      simdjson::ondemand::array tokens;
      if (field.value().get_array().get(tokens) != simdjson::SUCCESS) return bad("\"added_tokens\" is no list");
      for (auto token : tokens) {
        int64_t id = 0;
        if (token["id"].get_int64().get(id) != simdjson::SUCCESS) return bad("an added token has no id");
        largest = std::max(largest, id);
      }
    } else if (key == "model") {
      simdjson::ondemand::object vocabulary;
      if (field.value()["vocab"].get_object().get(vocabulary) != simdjson::SUCCESS)
        return bad("\"model\" has no \"vocab\"");
      has_vocabulary = true;
      for (auto entry : vocabulary) {
        int64_t id = 0;
        if (entry.value().get_int64().get(id) != simdjson::SUCCESS) return bad("an id of \"vocab\" is no integer");
        largest = std::max(largest, id);
      }
    }
  }
  if (!has_vocabulary) return bad("has no \"model\"");
  return largest + 1;
}

}  // namespace millrace
