// Character classes as Hugging Face's `tokenizers` 0.23.3 has them: those of its regular expression engine, Oniguruma
// with Unicode 16.0, and Rust's char::is_numeric. (data/corpus/unicode.h has RE2's, which differ in the newest
// characters: a token's id must not depend on that.) generate_unicode_classes.py makes the table.
// Everything here is thread-safe.
#ifndef MILLRACE_DATA_TOKENIZER_UNICODE_CLASSES_H_
#define MILLRACE_DATA_TOKENIZER_UNICODE_CLASSES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace millrace::data {

// Bits of UnicodeClass.
namespace unicode_class {
inline constexpr uint8_t kLetter = 1;           // \p{L}
inline constexpr uint8_t kMark = 2;             // \p{M}
inline constexpr uint8_t kNumber = 4;           // \p{N}
inline constexpr uint8_t kPunctuation = 8;      // \p{P}
inline constexpr uint8_t kSymbol = 16;          // \p{S}
inline constexpr uint8_t kSpace = 32;           // \s
inline constexpr uint8_t kDecimalDigit = 64;    // \p{Nd}
inline constexpr uint8_t kNumericInRust = 128;  // the pre-tokenizer Digits
}  // namespace unicode_class

inline constexpr uint32_t kCodePoints = 0x110000;

// Code points from `first` to `last`, both included.
struct CodePointRange {
  uint32_t first = 0;
  uint32_t last = 0;
  friend bool operator==(const CodePointRange&, const CodePointRange&) = default;
};

// A byte for each code point: 256 to a block, equal blocks once. Immutable once filled.
class CodePointTable {
 public:
  // All bytes are 0.
  CodePointTable();

  // Sets `bits` for the code points of `ranges`.
  void Add(absl::Span<const CodePointRange> ranges, uint8_t bits);
  // Replaces each byte b by map(code point, b).
  template <typename Map>
  void Transform(const Map& map) {
    for (uint32_t c = 0; c < kCodePoints; ++c) Set(c, map(c, (*this)[c]));
  }

  uint8_t operator[](uint32_t code_point) const { return bytes_[blocks_[code_point >> 8] << 8 | (code_point & 255)]; }

 private:
  void Set(uint32_t code_point, uint8_t byte);

  std::vector<uint16_t> blocks_;
  std::vector<uint8_t> bytes_;
};

// Built at the first use, in about a millisecond.
const CodePointTable& UnicodeClasses();
inline uint8_t UnicodeClass(uint32_t code_point) { return UnicodeClasses()[code_point]; }

// The code points that have one of `bits`, ascending.
std::vector<CodePointRange> RangesOfClass(uint8_t bits);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_UNICODE_CLASSES_H_
