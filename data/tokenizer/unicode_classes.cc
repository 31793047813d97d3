#include "data/tokenizer/unicode_classes.h"

namespace millrace::data {
namespace {

struct ClassRange {
  uint32_t first;
  uint32_t last;
  uint8_t bits;
};

constexpr ClassRange kClassRanges[] = {
#include "data/tokenizer/unicode_classes.inc"
};

}  // namespace

// Block 0 is the shared block of zeros; a block of one's own is made by the first Set of something else.
CodePointTable::CodePointTable() : blocks_(kCodePoints >> 8, 0), bytes_(256, 0) {}

void CodePointTable::Set(uint32_t code_point, uint8_t byte) {
  uint16_t& block = blocks_[code_point >> 8];
  if (block == 0) {
    if (byte == 0) return;
    block = bytes_.size() >> 8;
    bytes_.resize(bytes_.size() + 256, 0);
  }
  bytes_[block << 8 | (code_point & 255)] = byte;
}

void CodePointTable::Add(absl::Span<const CodePointRange> ranges, uint8_t bits) {
  for (const CodePointRange& range : ranges) {
    for (uint32_t c = range.first; c <= range.last && c < kCodePoints; ++c) Set(c, (*this)[c] | bits);
  }
}

const CodePointTable& UnicodeClasses() {
  static const CodePointTable* const table = [] {
    auto* table = new CodePointTable;
    for (const ClassRange& range : kClassRanges) {
      const CodePointRange code_points = {range.first, range.last};
      table->Add({&code_points, 1}, range.bits);
    }
    return table;
  }();
  return *table;
}

std::vector<CodePointRange> RangesOfClass(uint8_t bits) {
  std::vector<CodePointRange> ranges;
  for (const ClassRange& range : kClassRanges) {
    if ((range.bits & bits) == 0) continue;
    if (!ranges.empty() && ranges.back().last + 1 == range.first) {
      ranges.back().last = range.last;
    } else {
      ranges.push_back({range.first, range.last});
    }
  }
  return ranges;
}

}  // namespace millrace::data
