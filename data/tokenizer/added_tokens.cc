#include "data/tokenizer/added_tokens.h"

#include <algorithm>
#include <cstring>

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

bool AddedTokenFinder::Find(absl::string_view text, size_t from, Match& match) const {
  if (empty_) return false;
  const char* const end = text.data() + text.size();
  const char* p = text.data() + from;
  if (first_bytes_.size() > 3) {
    for (; p < end; ++p) {
      if (starts_[static_cast<uint8_t>(*p)] && MatchAt(text, p - text.data(), match)) return true;
    }
    return false;
  }
  // memchr passes over text much faster than a loop.
  const char* next[3] = {};
  for (size_t i = 0; i < first_bytes_.size(); ++i) next[i] = p - 1;
  while (p < end) {
    const char* nearest = end;
    for (size_t i = 0; i < first_bytes_.size(); ++i) {
      if (next[i] < p) {
        const void* const found = std::memchr(p, first_bytes_[i], end - p);
        next[i] = found == nullptr ? end : static_cast<const char*>(found);
      }
      nearest = std::min(nearest, next[i]);
    }
    if (nearest == end) return false;
    if (MatchAt(text, nearest - text.data(), match)) return true;
    p = nearest + 1;
  }
  return false;
}

}  // namespace millrace::data
