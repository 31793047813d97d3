#include "data/tokenizer/tokenizer.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/utf8.h"

namespace millrace::data {
namespace {

constexpr absl::string_view kCustomaryEos[] = {"<|end_of_text|>", "<｜end▁of▁sentence｜>", "<|endoftext|>", "</s>"};

// The content of eos_token in tokenizer_config.json, which is a text or an object with `content`; "": there is none.
absl::StatusOr<std::string> EosTokenOfConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const nlohmann::json config = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": not a JSON object"));
  const auto eos = config.find("eos_token");
  if (eos == config.end() || eos->is_null()) return "";
  if (eos->is_string()) return eos->get<std::string>();
  if (eos->is_object() && eos->contains("content") && (*eos)["content"].is_string())
    return (*eos)["content"].get<std::string>();
  return absl::InvalidArgumentError(absl::StrCat(path, ": eos_token: neither a text nor an object with `content`"));
}

}  // namespace

absl::StatusOr<Tokenizer> Tokenizer::Create(const TokenizerDefinition& definition) {
  ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::Create(definition.steps));
  ASSIGN_OR_RETURN(BpeModel model, BpeModel::Create(definition.bpe));
  Tokenizer tokenizer(std::move(pre_tokenizer), std::move(model));

  uint32_t vocab_size = 0;
  for (const auto& [token, id] : definition.vocabulary) vocab_size = std::max(vocab_size, id + 1);
  for (const AddedToken& token : definition.added_tokens) vocab_size = std::max(vocab_size, token.id + 1);
  tokenizer.tokens_.resize(vocab_size);
  // As the ByteLevel decoder does: a token that is not written in the byte alphabet stands for its own UTF-8.
  const auto set = [&](uint32_t id, const std::string& token) {
    std::optional<std::string> bytes = ByteLevelBytes(token);
    tokenizer.tokens_[id] = bytes.has_value() ? *std::move(bytes) : token;
  };
  for (const auto& [token, id] : definition.vocabulary) set(id, token);
  for (const AddedToken& token : definition.added_tokens) set(token.id, token.content);

  tokenizer.added_tokens_ = definition.added_tokens;
  std::vector<std::string> plain, normalized;
  for (uint32_t i = 0; i < tokenizer.added_tokens_.size(); ++i) {
    const AddedToken& token = tokenizer.added_tokens_[i];
    (token.normalized ? normalized : plain).push_back(token.content);
    (token.normalized ? tokenizer.normalized_tokens_ : tokenizer.plain_tokens_).push_back(i);
  }
  tokenizer.plain_ = AddedTokenFinder(plain);
  tokenizer.normalized_ = AddedTokenFinder(normalized);

  tokenizer.merges_ = definition.bpe.merges.size();
  tokenizer.ignore_merges_ = definition.ignore_merges;
  if (definition.ignore_merges) {
    for (const auto& [token, id] : definition.vocabulary) {
      if (std::optional<std::string> bytes = ByteLevelBytes(token)) tokenizer.whole_tokens_.emplace(*bytes, id);
    }
  }
  for (const absl::string_view content : kCustomaryEos) {
    if (!tokenizer.eos_id_.has_value()) tokenizer.eos_id_ = tokenizer.IdOfContent(content);
  }
  return tokenizer;
}

absl::StatusOr<Tokenizer> Tokenizer::Load(const std::string& path) {
  const std::string file = IsDirectory(path) ? JoinPath(path, "tokenizer.json") : path;
  ASSIGN_OR_RETURN(const MappedFile json, MappedFile::Open(file));
  ASSIGN_OR_RETURN(const TokenizerDefinition definition, ParseTokenizerJson(json.data(), file));
  absl::StatusOr<Tokenizer> tokenizer = Create(definition);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), file);

  const size_t slash = file.rfind('/');
  const std::string config =
      JoinPath(slash == std::string::npos ? "." : file.substr(0, slash), "tokenizer_config.json");
  if (FileExists(config)) {
    ASSIGN_OR_RETURN(const std::string eos_token, EosTokenOfConfig(config));
    if (!eos_token.empty()) {
      tokenizer->eos_id_ = tokenizer->IdOfContent(eos_token);
      if (!tokenizer->eos_id_.has_value()) {
        return absl::InvalidArgumentError(absl::StrCat(config, ": eos_token: \"", eos_token, "\" is no added token of ",
                                                       file, "\n  fix: name one of its added tokens"));
      }
    }
  }
  return tokenizer;
}

std::optional<uint32_t> Tokenizer::IdOfContent(absl::string_view content) const {
  for (const AddedToken& token : added_tokens_) {
    if (token.content == content) return token.id;
  }
  return std::nullopt;
}

const std::string* Tokenizer::TokenBytes(uint32_t id) const {
  return id < tokens_.size() && tokens_[id].has_value() ? &*tokens_[id] : nullptr;
}

std::string Tokenizer::Decode(absl::Span<const uint32_t> ids) const {
  std::string bytes;
  for (const uint32_t id : ids) {
    if (const std::string* token = TokenBytes(id)) bytes += *token;
  }
  return bytes;
}

std::vector<uint32_t> Tokenizer::Encode(absl::string_view text, SpecialTokens special_tokens) const {
  Encoder encoder(*this);
  const absl::Span<const uint32_t> ids = encoder.Encode(text, special_tokens);
  return std::vector<uint32_t>(ids.begin(), ids.end());
}

Encoder::Encoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

absl::Span<const uint32_t> Encoder::Encode(absl::string_view text, SpecialTokens special_tokens) {
  ids_.clear();
  std::string replaced;
  if (!IsValidUtf8(text)) {
    replaced = ReplaceInvalidUtf8(text);
    text = replaced;
  }
  // A little text is not worth a cache.
  if (cache_.empty() && (bytes_seen_ += text.size()) > 4096) cache_.assign(size_t{1} << kCacheSetBits, CacheSet{});
  const Tokenizer& t = tokenizer_;
  SplitByAddedTokens(t.plain_, t.plain_tokens_, text, special_tokens, [&](absl::string_view between) {
    SplitByAddedTokens(t.normalized_, t.normalized_tokens_, between, special_tokens,
                       [&](absl::string_view plain) { EncodeText(plain); });
  });
  return {ids_.data(), ids_.size()};
}

template <typename Inner>
void Encoder::SplitByAddedTokens(const AddedTokenFinder& finder, const std::vector<uint32_t>& tokens,
                                 absl::string_view text, SpecialTokens special_tokens, const Inner& inner) {
  size_t done = 0;
  AddedTokenFinder::Search search(finder, text);
  AddedTokenFinder::Match match;
  while (search.Next(match)) {
    const AddedToken& token = tokenizer_.added_tokens_[tokens[match.value]];
    // What is found but not recognised is still passed over as a whole.
    if (token.special && special_tokens == SpecialTokens::kAsText) continue;
    if (match.begin > done) inner(text.substr(done, match.begin - done));
    ids_.push_back(token.id);
    done = match.end;
  }
  if (done < text.size()) inner(text.substr(done));
}

void Encoder::EncodeText(absl::string_view text) {
  const char* const readable_end = text.data() + text.size();
  tokenizer_.pre_tokenizer_.ForEachPiece(text, [&](absl::string_view piece) { Add(piece, readable_end); });
  Finish();
}

inline void Encoder::Add(absl::string_view piece, const char* readable_end) {
  if (num_pending_ == kMostPending) Finish();
  Pending& pending = pending_[num_pending_++];
  pending.piece = piece;
  const size_t length = piece.size();
  if (length > 15 || cache_.empty()) {
    pending.set = nullptr;
    return;
  }
  uint64_t* const key = pending.key;
  if (readable_end - piece.data() >= 16) [[likely]] {
    std::memcpy(key, piece.data(), 16);
    // Keep the first `length` bytes.
    const uint64_t low = length >= 8 ? ~uint64_t{0} : (uint64_t{1} << 8 * length) - 1;
    const uint64_t high = length <= 8 ? 0 : (uint64_t{1} << 8 * (length - 8)) - 1;
    key[0] &= low;
    key[1] &= high;
  } else {
    key[0] = key[1] = 0;
    std::memcpy(key, piece.data(), length);
  }
  key[1] |= uint64_t{length} << 56;
  uint64_t hash = (key[0] ^ 0x9E3779B97F4A7C15) * 0xD6E8FEB86659FD93;
  hash = ((hash ^ hash >> 32) + key[1]) * 0xA0761D6478BD642F;
  pending.set = &cache_[hash >> (64 - kCacheSetBits)];
  __builtin_prefetch(pending.set);
}

void Encoder::Finish() {
  for (size_t i = 0; i < num_pending_; ++i) EncodePending(pending_[i]);
  num_pending_ = 0;
}

inline void Encoder::EncodePending(const Pending& pending) {
  if (pending.set == nullptr) return EncodeUncached(pending.piece);
  const auto holds = [&](const CacheEntry& entry) {
    return entry.key[0] == pending.key[0] && entry.key[1] == pending.key[1];
  };
  CacheEntry* const pair = pending.set->entries;
  if (!holds(pair[0])) {
    if (holds(pair[1])) {
      std::swap(pair[0], pair[1]);
    } else {
      const size_t before = ids_.size();
      EncodeUncached(pending.piece);
      const size_t count = ids_.size() - before;
      if (count > 4) return;
      // The one that was used longer ago is given up.
      pair[1] = pair[0];
      pair[0].key[0] = pending.key[0];
      pair[0].key[1] = pending.key[1];
      for (size_t i = 0; i < 4; ++i) pair[0].ids[i] = i < count ? ids_.data()[before + i] : kUnused;
      return;
    }
  }
  const uint32_t* const ids = pair[0].ids;
  std::memcpy(ids_.Reserve(4), ids, 4 * sizeof(uint32_t));
  ids_.Advance(1 + (ids[1] != kUnused) + (ids[2] != kUnused) + (ids[3] != kUnused));
}

void Encoder::EncodeUncached(absl::string_view piece) {
  if (tokenizer_.ignore_merges_) {
    const auto it = tokenizer_.whole_tokens_.find(piece);
    if (it != tokenizer_.whole_tokens_.end()) return ids_.push_back(it->second);
  }
  tokenizer_.model_.AppendIds(piece, scratch_, ids_);
}

}  // namespace millrace::data
