#include "data/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/utf8.h"

namespace millrace::data {
namespace {

using Json = nlohmann::json;                 // for reading: ordered_json looks through all keys for each new one
using OrderedJson = nlohmann::ordered_json;  // for writing

constexpr uint32_t kMaxId = 1 << 28;

absl::Status BadError(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
}

absl::Status RefuseError(absl::string_view field, absl::string_view value) {
  return absl::UnimplementedError(absl::StrCat(field, ": ", value, " is not supported"));
}

// The member, or null.
const Json& At(const Json& object, const char* name) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto it = object.find(name);
  return it == object.end() ? null : *it;
}

std::string TypeOf(const Json& object) {
  const Json& type = At(object, "type");
  return type.is_string() ? type.get<std::string>() : "";
}

bool IsTrue(const Json& object, const char* name, bool absent) {
  const Json& value = At(object, name);
  return value.is_boolean() ? value.get<bool>() : absent;
}

absl::StatusOr<uint32_t> IdOf(const Json& value, absl::string_view field) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() >= kMaxId)
    return BadError(field, absl::StrCat(value.dump(), " is not an id from 0 to ", kMaxId - 1));
  return value.get<uint32_t>();
}

// Members of a Sequence, or the object itself.
std::vector<Json> Flatten(const Json& value, const char* members) {
  if (value.is_null()) return {};
  if (TypeOf(value) != "Sequence") return {value};
  std::vector<Json> all;
  for (const Json& member : At(value, members)) {
    for (Json& inner : Flatten(member, members)) all.push_back(std::move(inner));
  }
  return all;
}

absl::StatusOr<SplitStep> ParseSplit(const Json& split, const std::string& field) {
  const Json& behavior = At(split, "behavior");
  if (behavior != "Isolated") return RefuseError(absl::StrCat(field, ".behavior"), behavior.dump());
  if (IsTrue(split, "invert", false)) return RefuseError(absl::StrCat(field, ".invert"), "true");
  const Json& pattern = At(split, "pattern");
  if (const Json& regex = At(pattern, "Regex"); regex.is_string())
    return SplitStep{SplitStep::Kind::kRegex, regex.get<std::string>()};
  if (const Json& text = At(pattern, "String"); text.is_string())
    return SplitStep{SplitStep::Kind::kText, text.get<std::string>()};
  return BadError(absl::StrCat(field, ".pattern"), "neither a Regex nor a String");
}

absl::StatusOr<std::vector<SplitStep>> ParsePreTokenizer(const Json& pre_tokenizer) {
  std::vector<SplitStep> steps;
  bool byte_level = false;
  const std::vector<Json> members = Flatten(pre_tokenizer, "pretokenizers");
  for (size_t i = 0; i < members.size(); ++i) {
    const Json& member = members[i];
    const std::string field = absl::StrCat("pre_tokenizer", members.size() == 1 ? "" : absl::StrCat("[", i, "]"));
    if (byte_level) return RefuseError(field, "a pre-tokenizer behind ByteLevel");
    const std::string type = TypeOf(member);
    if (type == "Split") {
      ASSIGN_OR_RETURN(SplitStep step, ParseSplit(member, field));
      steps.push_back(std::move(step));
    } else if (type == "Digits") {
      const bool individual = IsTrue(member, "individual_digits", false);
      steps.push_back({individual ? SplitStep::Kind::kIndividualDigits : SplitStep::Kind::kDigits, ""});
    } else if (type == "ByteLevel") {
      if (IsTrue(member, "add_prefix_space", true))
        return RefuseError(absl::StrCat(field, ".add_prefix_space"), "true");
      if (IsTrue(member, "use_regex", true)) steps.push_back({SplitStep::Kind::kRegex, std::string(kGpt2Pattern)});
      byte_level = true;
    } else {
      return RefuseError(absl::StrCat(field, ".type"), At(member, "type").dump());
    }
  }
  if (!byte_level) return RefuseError("pre_tokenizer", "one without ByteLevel (only byte-level BPE is)");
  return steps;
}

absl::Status CheckRest(const Json& file) {
  for (const char* field : {"truncation", "padding"}) {
    if (!At(file, field).is_null()) return RefuseError(field, At(file, field).dump());
  }
  for (const Json& normalizer : Flatten(At(file, "normalizer"), "normalizers")) {
    return RefuseError("normalizer", At(normalizer, "type").dump());
  }
  for (const Json& processor : Flatten(At(file, "post_processor"), "processors")) {
    const std::string type = TypeOf(processor);
    if (type != "ByteLevel" && type != "TemplateProcessing")
      return RefuseError("post_processor", At(processor, "type").dump());
  }
  for (const Json& decoder : Flatten(At(file, "decoder"), "decoders")) {
    if (TypeOf(decoder) != "ByteLevel") return RefuseError("decoder", At(decoder, "type").dump());
  }
  const Json& model = At(file, "model");
  const bool untyped = At(model, "type").is_null() && !At(model, "merges").is_null();  // as old versions wrote it
  if (TypeOf(model) != "BPE" && !untyped) return RefuseError("model.type", At(model, "type").dump());
  if (const Json& dropout = At(model, "dropout"); !dropout.is_null() && dropout != 0)
    return RefuseError("model.dropout", dropout.dump());
  for (const char* field : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const Json& value = At(model, field); !value.is_null() && value != "")
      return RefuseError(absl::StrCat("model.", field), value.dump());
  }
  return absl::OkStatus();
}

using TokenIds = absl::flat_hash_map<std::string, uint32_t>;

absl::StatusOr<TokenIds> ParseVocabulary(const Json& vocabulary, TokenizerDefinition& definition) {
  if (!vocabulary.is_object()) return BadError("model.vocab", "not an object of tokens and ids");
  TokenIds ids;
  absl::flat_hash_set<uint32_t> seen;
  for (const auto& [token, value] : vocabulary.items()) {
    ASSIGN_OR_RETURN(const uint32_t id, IdOf(value, absl::StrCat("model.vocab[\"", token, "\"]")));
    if (!seen.insert(id).second) return BadError("model.vocab", absl::StrCat("two tokens have the id ", id));
    ids.emplace(token, id);
    definition.vocabulary.emplace_back(token, id);
  }
  std::sort(definition.vocabulary.begin(), definition.vocabulary.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  for (int byte = 0; byte < 256; ++byte) {
    const std::string token = ByteLevelText(std::string(1, static_cast<char>(byte)));
    const auto it = ids.find(token);
    if (it == ids.end())
      return BadError("model.vocab", absl::StrCat("it lacks \"", token, "\", the token of byte ", byte));
    definition.bpe.byte_ids[byte] = it->second;
  }
  return ids;
}

absl::Status ParseMerges(const Json& merges, const TokenIds& ids, BpeVocabulary& bpe) {
  if (!merges.is_array()) return BadError("model.merges", "not an array");
  for (const Json& merge : merges) {
    const std::string field = absl::StrCat("model.merges[", bpe.merges.size(), "]");
    std::string left, right;
    if (merge.is_string()) {
      const std::string& text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
        return BadError(field, "not two tokens with a space between them");
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    } else {
      return BadError(field, "neither \"left right\" nor [left, right]");
    }
    uint32_t found[3];
    const std::string tokens[3] = {left, right, left + right};
    for (int i = 0; i < 3; ++i) {
      const auto it = ids.find(tokens[i]);
      if (it == ids.end()) return BadError(field, absl::StrCat("\"", tokens[i], "\" is not in model.vocab"));
      found[i] = it->second;
    }
    bpe.merges.push_back({found[0], found[1], found[2]});
  }
  return absl::OkStatus();
}

absl::Status ParseAddedTokens(const Json& added_tokens, const TokenIds& ids, TokenizerDefinition& definition) {
  absl::flat_hash_set<uint32_t> model_ids;
  for (const auto& [token, id] : definition.vocabulary) model_ids.insert(id);
  absl::flat_hash_set<std::string> contents;
  for (const Json& entry : added_tokens) {
    const std::string field = absl::StrCat("added_tokens[", definition.added_tokens.size(), "]");
    AddedToken token;
    ASSIGN_OR_RETURN(token.id, IdOf(At(entry, "id"), absl::StrCat(field, ".id")));
    if (!At(entry, "content").is_string()) return BadError(absl::StrCat(field, ".content"), "not a text");
    token.content = At(entry, "content").get<std::string>();
    if (token.content.empty()) return BadError(absl::StrCat(field, ".content"), "it is empty");
    for (const char* flag : {"single_word", "lstrip", "rstrip"}) {
      if (IsTrue(entry, flag, false))
        return RefuseError(absl::StrCat(field, ".", flag), absl::StrCat("true (of \"", token.content, "\")"));
    }
    token.special = IsTrue(entry, "special", false);
    token.normalized = IsTrue(entry, "normalized", !token.special);
    const auto it = ids.find(token.content);
    const bool agrees = it == ids.end() ? !model_ids.contains(token.id) : it->second == token.id;
    if (!agrees)
      return BadError(absl::StrCat(field, ".id"), absl::StrCat(token.id, " means another token in model.vocab"));
    if (!contents.insert(token.content).second)
      return BadError(field, absl::StrCat("\"", token.content, "\" is there twice"));
    definition.added_tokens.push_back(std::move(token));
  }
  return absl::OkStatus();
}

absl::StatusOr<TokenizerDefinition> Parse(absl::string_view json) {
  const Json file = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (file.is_discarded() || !file.is_object()) return absl::InvalidArgumentError("not a JSON object");
  RETURN_IF_ERROR(CheckRest(file));
  TokenizerDefinition definition;
  ASSIGN_OR_RETURN(definition.steps, ParsePreTokenizer(At(file, "pre_tokenizer")));
  const Json& model = At(file, "model");
  ASSIGN_OR_RETURN(const TokenIds ids, ParseVocabulary(At(model, "vocab"), definition));
  RETURN_IF_ERROR(ParseMerges(At(model, "merges"), ids, definition.bpe));
  definition.ignore_merges = IsTrue(model, "ignore_merges", false);
  RETURN_IF_ERROR(ParseAddedTokens(At(file, "added_tokens"), ids, definition));
  return definition;
}

OrderedJson FormatPreTokenizer(std::vector<SplitStep> steps) {
  const bool use_regex = !steps.empty() && steps.back() == Gpt2Steps().back();
  if (use_regex) steps.pop_back();
  const OrderedJson byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
  if (steps.empty()) return byte_level;
  OrderedJson members = OrderedJson::array();
  for (const SplitStep& step : steps) {
    if (step.kind == SplitStep::Kind::kDigits || step.kind == SplitStep::Kind::kIndividualDigits) {
      members.push_back({{"type", "Digits"}, {"individual_digits", step.kind == SplitStep::Kind::kIndividualDigits}});
    } else {
      const char* const form = step.kind == SplitStep::Kind::kRegex ? "Regex" : "String";
      members.push_back({{"type", "Split"},
                         {"pattern", OrderedJson::object({{form, step.pattern}})},
                         {"behavior", "Isolated"},
                         {"invert", false}});
    }
  }
  members.push_back(byte_level);
  return {{"type", "Sequence"}, {"pretokenizers", members}};
}

}  // namespace

absl::StatusOr<TokenizerDefinition> ParseTokenizerJson(absl::string_view json, absl::string_view path) {
  if (!IsValidUtf8(json)) return absl::InvalidArgumentError(absl::StrCat(path, ": not UTF-8"));
  absl::StatusOr<TokenizerDefinition> definition = Parse(json);
  if (definition.ok()) return definition;
  const bool refused = definition.status().code() == absl::StatusCode::kUnimplemented;
  return Annotate(absl::Status(definition.status().code(),
                               absl::StrCat(definition.status().message(), "\n  fix: ",
                                            refused ? "use a byte-level BPE tokenizer without it"
                                                    : "save the tokenizer again with Hugging Face's tokenizers")),
                  path);
}

std::string FormatTokenizerJson(const TokenizerDefinition& definition) {
  OrderedJson added = OrderedJson::array();
  for (const AddedToken& token : definition.added_tokens) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  absl::flat_hash_map<uint32_t, const std::string*> tokens;
  OrderedJson vocabulary = OrderedJson::object();
  auto& entries = vocabulary.get_ref<OrderedJson::object_t&>();
  for (const auto& [token, id] : definition.vocabulary) {
    entries.emplace_back(token, id);  // without a look through all keys
    tokens.emplace(id, &token);
  }
  OrderedJson merges = OrderedJson::array();
  for (const BpeVocabulary::Merge& merge : definition.bpe.merges)
    merges.push_back(absl::StrCat(*tokens.at(merge.left), " ", *tokens.at(merge.right)));
  const OrderedJson byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  const OrderedJson file = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer", FormatPreTokenizer(definition.steps)},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", definition.ignore_merges},
        {"vocab", std::move(vocabulary)},
        {"merges", std::move(merges)}}},
  };
  return file.dump(2) + "\n";
}

}  // namespace millrace::data
