// At each position the alternatives of a pattern are tried in its order. Two of them need a thought:
//   \s*[\r\n]+   takes a run of spaces up to its last line break;
//   \s+(?!\S)    takes the whole run at the end of the text, and else all but its last character.
// Where DeepSeek's first two patterns cut, the third sees an end of text: digits and CJK characters stop every run.
#include "data/tokenizer/splitters.h"

#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace millrace::data {
namespace {

// Bits of the table of each splitter.
constexpr uint8_t kWord = 1;         // GPT-2: \p{L}; DeepSeek: [\p{L}\p{M}]
constexpr uint8_t kPunctuation = 2;  // GPT-2: [^\s\p{L}\p{N}]; DeepSeek: [\p{P}\p{S}]
constexpr uint8_t kSpace = 4;
constexpr uint8_t kNumber = 8;
constexpr uint8_t kCjk = 16;
constexpr uint8_t kLineBreak = 32;  // \r, \n; they have kSpace too
constexpr uint8_t kAsciiPunctuation = 64;
constexpr uint8_t kAsciiLetter = 128;

struct Table {
  uint8_t ascii[128];
  CodePointTable all;

  template <typename Map>
  explicit Table(const Map& map) : all(UnicodeClasses()) {
    all.Transform(map);
    for (int c = 0; c < 128; ++c) ascii[c] = all[c];
  }

  // The bits of the character at `p`, and its bytes.
  uint8_t At(const char* p, int& length) const {
    const uint8_t first = static_cast<uint8_t>(*p);
    if (first < 0x80) [[likely]] {
      length = 1;
      return ascii[first];
    }
    return all[DecodeUtf8(p, length)];
  }
  uint8_t At(const char* p) const {
    int length;
    return At(p, length);
  }
  // The end of the run of characters with (bits & mask) == bit.
  const char* Run(const char* p, const char* end, uint8_t mask, uint8_t bit) const {
    while (p != end) {
      int length;
      if ((At(p, length) & mask) != bit) break;
      p += length;
    }
    return p;
  }
};

const Table& Gpt2Table() {
  static const Table* const table = new Table([](uint32_t c, uint8_t classes) -> uint8_t {
    if (classes & unicode_class::kSpace) return kSpace;
    if (classes & unicode_class::kLetter) return kWord;
    return classes & unicode_class::kNumber ? kNumber : kPunctuation;
  });
  return *table;
}

const Table& DeepSeekTable() {
  static const Table* const table = new Table([](uint32_t c, uint8_t classes) -> uint8_t {
    uint8_t bits = 0;
    if (classes & (unicode_class::kLetter | unicode_class::kMark)) bits |= kWord;
    if (classes & (unicode_class::kPunctuation | unicode_class::kSymbol)) bits |= kPunctuation;
    if (classes & unicode_class::kSpace) bits |= kSpace;
    if (classes & unicode_class::kNumber) bits |= kNumber;
    if ((c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF)) bits |= kCjk;
    if (c == '\r' || c == '\n') bits |= kLineBreak;
    if (c < 0x80 && bits & kPunctuation) bits |= kAsciiPunctuation;
    if (c < 0x80 && bits & kWord) bits |= kAsciiLetter;
    return bits;
  });
  return *table;
}

// The end of the match of kDeepSeekV3Words at `p`, or of the characters that it leaves between two matches. kStop are
// the bits that end the text as far as this pattern can see.
template <uint8_t kStop>
const char* DeepSeekWordEnd(const Table& table, const char* const p, const char* const end) {
  int length;
  const uint8_t bits = table.At(p, length);
  const char* const next = p + length;
  const uint8_t next_bits = next == end ? kStop : table.At(next);

  // [!"#$...~][A-Za-z]+
  if ((bits & kAsciiPunctuation) && (next_bits & kAsciiLetter)) {
    const char* q = next + 1;
    while (q != end && static_cast<uint8_t>(*q) < 0x80 && (table.ascii[static_cast<uint8_t>(*q)] & kAsciiLetter)) ++q;
    return q;
  }
  // [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
  if (bits & kWord) return table.Run(next, end, kStop | kWord, kWord);
  const bool next_is_word = next != end && (next_bits & (kStop | kWord)) == kWord;
  if (!(bits & (kLineBreak | kPunctuation)) && next_is_word) return table.Run(next, end, kStop | kWord, kWord);
  //  ?[\p{P}\p{S}]+[\r\n]*
  const bool space_before = *p == ' ' && next != end && (next_bits & (kStop | kPunctuation)) == kPunctuation;
  if ((bits & kPunctuation) || space_before) {
    return table.Run(table.Run(next, end, kStop | kPunctuation, kPunctuation), end, kLineBreak, kLineBreak);
  }
  // \s*[\r\n]+|\s+(?!\S)|\s+
  if (bits & kSpace) {
    const char* after_break = nullptr;
    const char* last = p;
    const char* q = p;
    uint8_t b = bits;
    while (q != end && ((b = table.At(q, length)) & kSpace)) {
      last = q;
      q += length;
      if (b & kLineBreak) after_break = q;
    }
    if (after_break != nullptr) return after_break;
    if (q == end || (b & kStop)) return q;
    return last == p ? q : last;
  }
  // No alternative matches here: on to where one does.
  const char* q = next;
  while (q != end) {
    const uint8_t b = table.At(q, length);
    if (b & (kStop | kWord | kPunctuation | kSpace)) break;
    const char* const after = q + length;
    if (after != end && (table.At(after) & (kStop | kWord)) == kWord) break;
    q = after;
  }
  return q;
}

}  // namespace

bool Gpt2Splitter::Next(absl::string_view& piece) {
  if (at_ == end_) return false;
  static const Table& table = Gpt2Table();
  const char* const p = at_;
  const auto take_to = [&](const char* q) {
    piece = absl::string_view(p, q - p);
    at_ = q;
    return true;
  };
  // 's|'t|'re|'ve|'m|'ll|'d
  if (*p == '\'' && end_ - p >= 2) {
    const char c = p[1];
    if (c == 's' || c == 't' || c == 'm' || c == 'd') return take_to(p + 2);
    if (end_ - p >= 3 && ((c == 'r' && p[2] == 'e') || (c == 'v' && p[2] == 'e') || (c == 'l' && p[2] == 'l')))
      return take_to(p + 3);
  }
  //  ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+
  const char* const q = *p == ' ' && end_ - p >= 2 ? p + 1 : p;
  int length;
  const uint8_t bits = table.At(q, length);
  if (!(bits & kSpace)) return take_to(table.Run(q + length, end_, bits, bits));
  // \s+(?!\S)|\s+
  const char* last = p;
  const char* r = p;
  while (r != end_ && (table.At(r, length) & kSpace)) {
    last = r;
    r += length;
  }
  return take_to(r == end_ || last == p ? r : last);
}

bool DeepSeekV3Splitter::Next(absl::string_view& piece) {
  if (at_ == end_) return false;
  static const Table& table = DeepSeekTable();
  const char* const p = at_;
  int length;
  const uint8_t bits = table.At(p, length);
  if (p < cjk_end_) {
    at_ = DeepSeekWordEnd<0>(table, p, cjk_end_);
  } else if (bits & kCjk) {
    // Nearly always letters only, and then one piece.
    const char* const letters_end = table.Run(p, end_, kCjk | kWord, kCjk | kWord);
    const char* const run_end = table.Run(letters_end, end_, kCjk, kCjk);
    if (letters_end == run_end) {
      at_ = run_end;
    } else {
      cjk_end_ = run_end;
      at_ = DeepSeekWordEnd<0>(table, p, run_end);
    }
  } else if (bits & kNumber) {
    at_ = p + length;
    for (int i = 1; i < 3 && at_ != end_ && (table.At(at_, length) & kNumber); ++i) at_ += length;
  } else {
    at_ = DeepSeekWordEnd<kCjk | kNumber>(table, p, end_);
  }
  piece = absl::string_view(p, at_ - p);
  return true;
}

bool DeepSeekV3WordSplitter::Next(absl::string_view& piece) {
  if (at_ == end_) return false;
  static const Table& table = DeepSeekTable();
  const char* const p = at_;
  at_ = DeepSeekWordEnd<0>(table, p, end_);
  piece = absl::string_view(p, at_ - p);
  return true;
}

}  // namespace millrace::data
