#include "data/tokenizer/added_tokens.h"

#include <algorithm>

namespace millrace::data {

AddedTokenFinder::AddedTokenFinder(const std::vector<std::string>& contents)
    : empty_(contents.empty()), pairs_(65536, false) {
  for (uint32_t i = 0; i < contents.size(); ++i) {
    const std::string& content = contents[i];
    const uint8_t first = content[0];
    if (!starts_[first]) first_bytes_.push_back(first);
    starts_[first] = true;
    for (int second = 0; second < 256; ++second) {
      if (content.size() == 1 || static_cast<uint8_t>(content[1]) == second) pairs_[first << 8 | second] = true;
    }
    uint32_t node = 0;
    for (const char byte : content) {
      const uint64_t key = uint64_t{node} << 8 | static_cast<uint8_t>(byte);
      const auto [it, inserted] = children_.emplace(key, values_.size());
      if (inserted) values_.push_back(kNone);
      node = it->second;
    }
    values_[node] = i;
  }
}

bool AddedTokenFinder::MatchAt(absl::string_view text, size_t begin, Match& match) const {
  const uint8_t first = text[begin];
  if (begin + 1 < text.size() && !pairs_[first << 8 | static_cast<uint8_t>(text[begin + 1])]) return false;
  uint32_t node = 0;
  bool found = false;
  for (size_t i = begin; i < text.size(); ++i) {
    const auto it = children_.find(uint64_t{node} << 8 | static_cast<uint8_t>(text[i]));
    if (it == children_.end()) break;
    node = it->second;
    if (values_[node] == kNone) continue;
    match = {begin, i + 1, values_[node]};
    found = true;
  }
  return found;
}

bool AddedTokenFinder::Search::NextByLoop(Match& match) {
  for (; at_ < text_.size(); ++at_) {
    if (!finder_.starts_[static_cast<uint8_t>(text_[at_])] || !finder_.MatchAt(text_, at_, match)) continue;
    at_ = match.end;
    return true;
  }
  return false;
}

bool AddedTokenFinder::Search::Next(Match& match) {
  if (finder_.empty_) return false;
  const std::vector<uint8_t>& first_bytes = finder_.first_bytes_;
  if (first_bytes.size() > kBytes) return NextByLoop(match);
  // memchr passes over text much faster than a loop.
  while (at_ < text_.size()) {
    size_t nearest = text_.size();
    for (size_t i = 0; i < first_bytes.size(); ++i) {
      if (!known_[i] || next_[i] < at_) {
        next_[i] = std::min(text_.find(static_cast<char>(first_bytes[i]), at_), text_.size());
        known_[i] = true;
      }
      nearest = std::min(nearest, next_[i]);
    }
    at_ = nearest;
    if (at_ == text_.size()) return false;
    if (finder_.MatchAt(text_, at_, match)) {
      at_ = match.end;
      return true;
    }
    ++at_;
  }
  return false;
}

}  // namespace millrace::data
