#include "data/shards/manifest.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace::data {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr char kFormat[] = "millrace.shards";
constexpr int64_t kVersion = 1;

const char* KindName(ShardManifest::Kind kind) { return kind == ShardManifest::Kind::kTrain ? "train" : "held_out"; }

// Reads typed fields; remembers the first that is missing or of another type.
class Fields {
 public:
  explicit Fields(const Json& json) : json_(json) {}

  template <typename Integer>
  void Read(const char* name, Integer* value) {
    if (const Json* field = Find(name); field != nullptr && field->is_number_unsigned())
      *value = field->get<Integer>();
    else
      Complain(name);
  }
  void Read(const char* name, std::string* value) {
    if (const Json* field = Find(name); field != nullptr && field->is_string())
      *value = field->get<std::string>();
    else
      Complain(name);
  }
  void Read(const char* name, bool* value) {
    if (const Json* field = Find(name); field != nullptr && field->is_boolean())
      *value = field->get<bool>();
    else
      Complain(name);
  }
  template <typename F>
  void ReadEach(const char* name, F f) {
    const Json* field = Find(name);
    if (field == nullptr || !field->is_array()) return Complain(name);
    for (const Json& element : *field) {
      Fields fields(element);
      f(fields);
      if (!fields.bad_.empty()) Complain(absl::StrCat(name, "[].", fields.bad_));
    }
  }
  const std::string& bad() const { return bad_; }

 private:
  const Json* Find(const char* name) const {
    if (!json_.is_object()) return nullptr;
    const auto it = json_.find(name);
    return it == json_.end() ? nullptr : &*it;
  }
  void Complain(absl::string_view name) {
    if (bad_.empty()) bad_ = std::string(name);
  }

  const Json& json_;
  std::string bad_;
};

}  // namespace

std::string ToJson(const ShardManifest& m) {
  const bool train = m.kind == ShardManifest::Kind::kTrain;
  OrderedJson json;
  json["format"] = kFormat;
  json["version"] = kVersion;
  json["kind"] = KindName(m.kind);
  json["sequence_length"] = m.sequence_length;
  json["sequences"] = m.sequences;
  json["documents"] = m.documents;
  json["tokens"] = m.tokens;
  json["padding_tokens"] = m.padding_tokens;
  json["text_bytes"] = m.text_bytes;
  json["attend_across_documents"] = m.attend_across_documents;
  json["strategy"] = m.strategy;
  json["vocab_size"] = m.vocab_size;
  json["eos_id"] = m.eos_id;
  json["sources"] = OrderedJson::array();
  for (const ShardManifest::Source& source : m.sources) {
    json["sources"].push_back({{"source", source.source},
                               {"documents", source.documents},
                               {"sequences", source.sequences},
                               {"tokens", source.tokens},
                               {"text_bytes", source.text_bytes}});
  }
  json["shards"] = OrderedJson::array();
  for (const ShardManifest::File& file : m.files) {
    json["shards"].push_back({{"file", file.name},
                              {train ? "sequences" : "documents", file.entries},
                              {"bytes", file.size_bytes},
                              {"sha256", file.sha256}});
  }
  return json.dump(2) + "\n";
}

absl::StatusOr<ShardManifest> ReadShardManifest(const std::string& folder, ShardManifest::Kind kind) {
  const std::string path = JoinPath(folder, "manifest.json");
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const auto damaged = [&](absl::string_view why) {
    return absl::DataLossError(
        absl::StrCat(path, ": not a manifest of shards\n  why: ", why, "\n  fix: run the `pack` stage again"));
  };
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  Fields fields(json);
  std::string format, kind_name;
  int64_t version = 0;
  fields.Read("format", &format);
  fields.Read("version", &version);
  fields.Read("kind", &kind_name);
  if (!fields.bad().empty()) return damaged(absl::StrCat("\"", fields.bad(), "\" is missing"));
  if (format != kFormat || version != kVersion)
    return damaged(
        absl::StrCat("format \"", format, "\" version ", version, ", expected \"", kFormat, "\" version ", kVersion));
  if (kind_name != KindName(kind)) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, " holds ", kind_name == "train" ? "training sequences" : "whole held-out documents",
                     ", not ", kind == ShardManifest::Kind::kTrain ? "training sequences" : "whole held-out documents",
                     "\n  fix: name the pack stage's output \".", KindName(kind), "\""));
  }

  ShardManifest m;
  m.kind = kind;
  fields.Read("sequence_length", &m.sequence_length);
  fields.Read("sequences", &m.sequences);
  fields.Read("documents", &m.documents);
  fields.Read("tokens", &m.tokens);
  fields.Read("padding_tokens", &m.padding_tokens);
  fields.Read("text_bytes", &m.text_bytes);
  fields.Read("attend_across_documents", &m.attend_across_documents);
  fields.Read("strategy", &m.strategy);
  fields.Read("vocab_size", &m.vocab_size);
  fields.Read("eos_id", &m.eos_id);
  fields.ReadEach("sources", [&](Fields& f) {
    ShardManifest::Source& source = m.sources.emplace_back();
    f.Read("source", &source.source);
    f.Read("documents", &source.documents);
    f.Read("sequences", &source.sequences);
    f.Read("tokens", &source.tokens);
    f.Read("text_bytes", &source.text_bytes);
  });
  fields.ReadEach("shards", [&](Fields& f) {
    ShardManifest::File& file = m.files.emplace_back();
    f.Read("file", &file.name);
    f.Read(kind == ShardManifest::Kind::kTrain ? "sequences" : "documents", &file.entries);
    f.Read("bytes", &file.size_bytes);
    f.Read("sha256", &file.sha256);
  });
  if (!fields.bad().empty()) return damaged(absl::StrCat("\"", fields.bad(), "\" is missing or of another type"));
  for (const ShardManifest::File& file : m.files) {
    if (file.name.empty() || file.name.find('/') != std::string::npos)
      return damaged(absl::StrCat("\"", file.name, "\" is not a file of this folder"));
  }
  return m;
}

}  // namespace millrace::data
