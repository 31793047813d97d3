#include "data/tokenizer/class_sequence.h"

#include <algorithm>

namespace millrace::data {

std::optional<ClassSequence> ClassSequence::Create(const std::vector<Step>& steps) {
  ClassSequence sequence;
  uint8_t bit = 1;
  for (const Step& step : steps) {
    CompiledStep& compiled = sequence.steps_.emplace_back();
    if (!step.has_value()) continue;
    // Two more bits are for \s and \n. Where spaces are counted too, it matters which of them is the optional one.
    if (bit == kSpace || (step->optional_space && step->at_most > 0)) return std::nullopt;
    compiled = {bit, step->optional_space, step->at_most};
    sequence.table_.Add(step->set, bit);
    bit <<= 1;
  }
  sequence.table_.Add(RangesOfClass(unicode_class::kSpace), kSpace);
  const CodePointRange line_feed = {'\n', '\n'};
  sequence.table_.Add({&line_feed, 1}, kLineFeed);
  for (int c = 0; c < 128; ++c) sequence.ascii_[c] = sequence.table_[c];
  return sequence;
}

}  // namespace millrace::data
