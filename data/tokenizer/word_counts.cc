#include "data/tokenizer/word_counts.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "base/quantity.h"
#include "data/tokenizer/utf8.h"

namespace millrace::data {

WordCounter::WordCounter(const PreTokenizer& pre_tokenizer, int64_t max_bytes)
    : pre_tokenizer_(pre_tokenizer), max_bytes_(max_bytes) {}

void WordCounter::Add(absl::string_view text) {
  std::string replaced;
  if (!IsValidUtf8(text)) {
    replaced = ReplaceInvalidUtf8(text);
    text = replaced;
  }
  absl::flat_hash_map<absl::string_view, uint64_t> counts;
  pre_tokenizer_.ForEachPiece(text, [&](absl::string_view piece) { ++counts[piece]; });
  std::array<std::vector<std::pair<absl::string_view, uint64_t>>, kShards> by_shard;
  for (const auto& entry : counts) by_shard[absl::Hash<absl::string_view>()(entry.first) % kShards].push_back(entry);
  for (int i = 0; i < kShards; ++i) {
    if (by_shard[i].empty()) continue;
    Shard& shard = shards_[i];
    const std::lock_guard lock(shard.mutex);
    for (const auto& [word, count] : by_shard[i]) {
      // Past the bound nothing new is taken: the result is an error anyway.
      if (shard.bytes > max_bytes_ / kShards) return;
      const auto [it, inserted] = shard.counts.try_emplace(word, 0);
      it->second += count;
      if (inserted) shard.bytes += kBytesPerWord + word.size();
    }
  }
}

absl::StatusOr<std::vector<WordCount>> WordCounter::Take() {
  std::vector<WordCount> words;
  for (Shard& shard : shards_) {
    if (shard.bytes > max_bytes_ / kShards) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the different pieces of the text need more than ", FormatBytes(max_bytes_),
                       " of memory\n  why: training counts each of them\n  fix: set `sample` to train on a part of "
                       "the documents"));
    }
    while (!shard.counts.empty()) {
      auto node = shard.counts.extract(shard.counts.begin());
      words.push_back({std::move(node.key()), node.mapped()});
    }
    shard.bytes = 0;
  }
  std::sort(words.begin(), words.end(), [](const WordCount& a, const WordCount& b) { return a.word < b.word; });
  return words;
}

}  // namespace millrace::data
