// All words lie in one array with borders between them. A token stands at its first place (`head`) and, so that its
// right neighbour finds it, at its last (`tail`). Each pair knows its count, always exact, and the places where it once
// began: some of them are stale, and are seen to be so when the pair is merged.
//
// The queue holds counts as they were when put in. Counts only fall while other pairs are merged, but for the pairs
// with the new token, which are put in then: so an entry that is stale is too high, and goes back in with its count.
#include "data/tokenizer/bpe_trainer.h"

#include <algorithm>
#include <limits>
#include <queue>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "data/tokenizer/byte_level.h"

namespace millrace::data {
namespace {

constexpr uint32_t kBorder = 0xFFFFFFFF;
constexpr uint32_t kInside = 0xFFFFFFFE;

struct Pair {
  uint32_t left = 0;
  uint32_t right = 0;
  uint64_t count = 0;
  std::vector<uint32_t> places;
  bool touched = false;  // has gained places in this round
};

struct Candidate {
  uint64_t count;
  uint32_t left;
  uint32_t right;
  uint32_t pair;
  bool operator<(const Candidate& other) const {
    if (count != other.count) return count < other.count;
    if (left != other.left) return left > other.left;
    return right > other.right;
  }
};

class Trainer {
 public:
  explicit Trainer(const std::vector<WordCount>& words) : words_(words) {
    for (const uint8_t byte : BytesInAlphabetOrder()) {
      symbols_.emplace(std::string(1, static_cast<char>(byte)), trained_.tokens.size());
      trained_.tokens.emplace_back(1, static_cast<char>(byte));
    }
  }

  TrainedBpe Run(uint32_t max_tokens) {
    LayOut();
    while (trained_.tokens.size() < max_tokens) {
      const uint32_t best = TakeBest();
      if (best == kNoPair) break;
      Merge(best);
    }
    for (size_t place = 0; place < head_.size(); ++place) {
      if (head_[place] < kInside) trained_.text_ids += words_[word_of_[place]].count;
    }
    return std::move(trained_);
  }

 private:
  static constexpr uint32_t kNoPair = 0xFFFFFFFF;

  void LayOut() {
    uint32_t symbol_of_byte[256];
    for (uint32_t i = 0; i < 256; ++i) symbol_of_byte[BytesInAlphabetOrder()[i]] = i;
    size_t size = 1;
    for (const WordCount& word : words_) size += word.word.size() + 1;
    head_.reserve(size);
    word_of_.reserve(size);
    head_.push_back(kBorder);
    word_of_.push_back(0);
    for (uint32_t w = 0; w < words_.size(); ++w) {
      for (const char byte : words_[w].word) {
        head_.push_back(symbol_of_byte[static_cast<uint8_t>(byte)]);
        word_of_.push_back(w);
      }
      head_.push_back(kBorder);
      word_of_.push_back(w);
    }
    tail_ = head_;
    for (size_t place = 1; place + 1 < head_.size(); ++place) {
      if (head_[place] != kBorder && head_[place + 1] != kBorder)
        Gain(head_[place], head_[place + 1], place, words_[word_of_[place]].count);
    }
    QueueTouched();
  }

  uint32_t PairOf(uint32_t left, uint32_t right) {
    const auto [it, inserted] = pair_of_.emplace(uint64_t{left} << 32 | right, pairs_.size());
    if (inserted) pairs_.push_back({.left = left, .right = right});
    return it->second;
  }

  void Gain(uint32_t left, uint32_t right, uint32_t place, uint64_t count) {
    const uint32_t index = PairOf(left, right);
    Pair& pair = pairs_[index];
    pair.count += count;
    pair.places.push_back(place);
    if (!pair.touched) touched_.push_back(index);
    pair.touched = true;
  }

  void Lose(uint32_t left, uint32_t right, uint64_t count) { pairs_[PairOf(left, right)].count -= count; }

  void QueueTouched() {
    for (const uint32_t index : touched_) {
      Pair& pair = pairs_[index];
      pair.touched = false;
      if (pair.count > 0) queue_.push({pair.count, pair.left, pair.right, index});
    }
    touched_.clear();
  }

  uint32_t TakeBest() {
    while (!queue_.empty()) {
      const Candidate candidate = queue_.top();
      queue_.pop();
      const uint64_t count = pairs_[candidate.pair].count;
      if (count == candidate.count && count > 0) return candidate.pair;
      if (count > 0 && count < candidate.count) queue_.push({count, candidate.left, candidate.right, candidate.pair});
    }
    return kNoPair;
  }

  void Merge(uint32_t index) {
    const uint32_t left = pairs_[index].left;
    const uint32_t right = pairs_[index].right;
    std::vector<uint32_t> places = std::move(pairs_[index].places);
    pairs_[index].places = {};
    if (!std::is_sorted(places.begin(), places.end())) std::sort(places.begin(), places.end());
    const uint32_t left_length = trained_.tokens[left].size();
    const uint32_t right_length = trained_.tokens[right].size();
    const std::string bytes = trained_.tokens[left] + trained_.tokens[right];
    const auto [it, inserted] = symbols_.emplace(bytes, trained_.tokens.size());
    if (inserted) trained_.tokens.push_back(bytes);
    const uint32_t merged = it->second;
    trained_.merges.push_back({left, right, merged, pairs_[index].count});

    for (const uint32_t place : places) {
      const uint32_t second = place + left_length;
      if (head_[place] != left || second >= head_.size() || head_[second] != right) continue;
      const uint64_t count = words_[word_of_[place]].count;
      Lose(left, right, count);
      head_[place] = merged;
      head_[second] = kInside;
      tail_[second + right_length - 1] = merged;
      if (const uint32_t before = tail_[place - 1]; before != kBorder) {
        Lose(before, left, count);
        Gain(before, merged, place - trained_.tokens[before].size(), count);
      }
      if (const uint32_t after = head_[second + right_length]; after != kBorder) {
        Lose(right, after, count);
        Gain(merged, after, place, count);
      }
    }
    QueueTouched();
  }

  const std::vector<WordCount>& words_;
  std::vector<uint32_t> head_;
  std::vector<uint32_t> tail_;
  std::vector<uint32_t> word_of_;
  std::vector<Pair> pairs_;
  absl::flat_hash_map<uint64_t, uint32_t> pair_of_;
  std::vector<uint32_t> touched_;
  std::priority_queue<Candidate> queue_;
  absl::flat_hash_map<std::string, uint32_t> symbols_;
  TrainedBpe trained_;
};

}  // namespace

absl::StatusOr<TrainedBpe> TrainBpe(const std::vector<WordCount>& words, uint32_t max_tokens) {
  MILLRACE_CHECK(max_tokens >= 256);
  uint64_t size = 0;
  for (const WordCount& word : words) size += word.word.size() + 1;
  if (size >= kInside) {
    return absl::ResourceExhaustedError(absl::StrCat("the different pieces have ", size,
                                                     " bytes, and byte-pair training takes less than ", kInside,
                                                     "\n  fix: set `sample` to train on a part of the documents"));
  }
  return Trainer(words).Run(max_tokens);
}

}  // namespace millrace::data
