// A byte-level BPE tokenizer: text to ids and back, as Hugging Face's `tokenizers` 0.23.3 does with the same
// tokenizer.json and add_special_tokens=False.
//
//   ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Load("tokenizer.json"));
//   Encoder encoder(tokenizer);  // one per thread
//   absl::Span<const uint32_t> ids = encoder.Encode("Hello, world", SpecialTokens::kAsText);
#ifndef MILLRACE_DATA_TOKENIZER_TOKENIZER_H_
#define MILLRACE_DATA_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/bpe_model.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/tokenizer_json.h"

namespace millrace::data {

// What an added token that is marked special is in a text. (Added tokens that are not are always found.)
enum class SpecialTokens {
  kRecognised,  // its id
  kAsText,      // text like any other, as `tokenizers` has it with encode_special_tokens=True
};

// Immutable; thread-safe. Takes a few hundred milliseconds to load and some 30 MB for 128 000 tokens.
class Tokenizer {
 public:
  // `path` is a tokenizer.json, or a folder that holds one. A tokenizer_config.json beside it may name the end-of-text
  // token. NotFound, and the errors of ParseTokenizerJson.
  static absl::StatusOr<Tokenizer> Load(const std::string& path);
  static absl::StatusOr<Tokenizer> Create(const TokenizerDefinition& definition);

  // Convenience, for a little text: an Encoder is faster.
  std::vector<uint32_t> Encode(absl::string_view text, SpecialTokens special_tokens) const;
  // The bytes of the tokens, which need not be whole characters. Ids without a token are left out.
  std::string Decode(absl::Span<const uint32_t> ids) const;
  // The bytes of one token; nullptr: the id has none.
  const std::string* TokenBytes(uint32_t id) const;

  // The largest id plus one.
  uint32_t vocab_size() const { return tokens_.size(); }
  // The token that ends a text: eos_token of tokenizer_config.json, else a special token with a customary name
  // ("<|end_of_text|>", "<｜end▁of▁sentence｜>", "<|endoftext|>", "</s>"). nullopt: none of them.
  std::optional<uint32_t> eos_id() const { return eos_id_; }
  size_t merges() const { return merges_; }
  const std::vector<AddedToken>& added_tokens() const { return added_tokens_; }

 private:
  friend class Encoder;

  Tokenizer(PreTokenizer pre_tokenizer, BpeModel model)
      : pre_tokenizer_(std::move(pre_tokenizer)), model_(std::move(model)), plain_({}), normalized_({}) {}
  std::optional<uint32_t> IdOfContent(absl::string_view content) const;

  PreTokenizer pre_tokenizer_;
  BpeModel model_;
  std::vector<std::optional<std::string>> tokens_;  // bytes, by id
  std::vector<AddedToken> added_tokens_;
  // Values are places in added_tokens_. The text between matches of the first is searched by the second.
  AddedTokenFinder plain_;
  AddedTokenFinder normalized_;
  std::vector<uint32_t> plain_tokens_;
  std::vector<uint32_t> normalized_tokens_;
  bool ignore_merges_ = false;
  absl::flat_hash_map<std::string, uint32_t> whole_tokens_;  // only with ignore_merges_
  size_t merges_ = 0;
  std::optional<uint32_t> eos_id_;
};

// Encodes on one thread. Remembers the ids of short pieces in a table of fixed size (2 MiB). Not thread-safe.
class Encoder {
 public:
  // `tokenizer` outlives this.
  explicit Encoder(const Tokenizer& tokenizer);

  // The ids of `text`, valid until the next call. What is not UTF-8 in it is read as U+FFFD (ReplaceInvalidUtf8).
  // Time is linear in the length of the text, whatever it is.
  absl::Span<const uint32_t> Encode(absl::string_view text, SpecialTokens special_tokens);

 private:
  // A piece of at most 15 bytes and what it becomes, if that is at most four ids.
  struct CacheEntry {
    uint64_t key[2];  // the bytes, zeros, and the length in the last byte; length 0: empty
    uint32_t ids[4];  // the unused ones are kUnused
  };
  static constexpr uint32_t kUnused = 0xFFFFFFFF;
  // Two pieces with the same hash, the one used last first: a line of the processor's cache.
  struct alignas(64) CacheSet {
    CacheEntry entries[2];
  };
  static_assert(sizeof(CacheSet) == 64);
  static constexpr int kCacheSetBits = 15;
  // A piece whose entry is on its way from memory.
  struct Pending {
    absl::string_view piece;
    uint64_t key[2];
    CacheSet* set;  // nullptr: not for the cache
  };
  static constexpr size_t kMostPending = 16;

  template <typename Inner>
  void SplitByAddedTokens(const AddedTokenFinder& finder, const std::vector<uint32_t>& tokens, absl::string_view text,
                          SpecialTokens special_tokens, const Inner& inner);
  void EncodeText(absl::string_view text);
  void Add(absl::string_view piece, const char* readable_end);
  void Finish();
  void EncodePending(const Pending& pending);
  void EncodeUncached(absl::string_view piece);

  const Tokenizer& tokenizer_;
  size_t bytes_seen_ = 0;
  std::vector<CacheSet> cache_;
  Pending pending_[kMostPending];
  size_t num_pending_ = 0;
  BpeModel::Scratch scratch_;
  IdBuffer ids_;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_TOKENIZER_H_
