// A sequence of Split pre-tokenizers that each look for runs of one character class (`[\r\n]`, `\s?[a-z]+`, digits) or
// for `\s+$`, done together: DeepSeek LLM's and Coder's. One table gives for each character the classes that it is in,
// and for each piece it is known which classes it may have, so that most steps are passed over for most pieces.
#ifndef MILLRACE_DATA_TOKENIZER_CLASS_SEQUENCE_H_
#define MILLRACE_DATA_TOKENIZER_CLASS_SEQUENCE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "data/tokenizer/split_regex.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace millrace::data {

// Immutable; thread-safe.
class ClassSequence {
 public:
  // One step; without a run it is `\s+$`.
  using Step = std::optional<ClassRun>;

  // nullopt: there are more than six runs, or one of a kind that needs a pass of its own.
  static std::optional<ClassSequence> Create(const std::vector<Step>& steps);

  // Calls visit(piece) for each piece of `text` (valid UTF-8), in order. Time is linear, memory constant.
  template <typename Visit>
  void ForEachPiece(absl::string_view text, const Visit& visit) const {
    if (!text.empty()) Apply(0, {text.data(), text.data() + text.size(), kAll}, visit);
  }

 private:
  static constexpr uint8_t kSpace = 64;
  static constexpr uint8_t kLineFeed = 128;
  static constexpr uint8_t kAll = 255;

  struct CompiledStep {
    uint8_t bit = 0;  // of the run's class; 0: `\s+$`
    bool optional_space = false;
    int at_most = 0;
  };
  struct Piece {
    const char* begin;
    const char* end;
    uint8_t bits;  // of its characters, and maybe more
  };

  ClassSequence() = default;

  uint8_t At(const char* p, int& length) const {
    const uint8_t first = static_cast<uint8_t>(*p);
    if (first < 0x80) [[likely]] {
      length = 1;
      return ascii_[first];
    }
    return table_[DecodeUtf8(p, length)];
  }
  bool EndsInSpace(const Piece& piece) const {
    const char* last = piece.end - 1;
    while ((static_cast<uint8_t>(*last) & 0xC0) == 0x80) --last;
    int length;
    return At(last, length) & kSpace;
  }
  bool MayCut(const CompiledStep& step, const Piece& piece) const {
    if (step.bit != 0) return piece.bits & step.bit;
    return (piece.bits & kLineFeed) || ((piece.bits & kSpace) && EndsInSpace(piece));
  }

  // Applies the steps from `step` on.
  template <typename Visit>
  void Apply(size_t step, const Piece& piece, const Visit& visit) const {
    while (step < steps_.size() && !MayCut(steps_[step], piece)) ++step;
    if (step == steps_.size()) {
      visit(absl::string_view(piece.begin, piece.end - piece.begin));
    } else if (steps_[step].bit != 0) {
      CutRuns(step, piece, visit);
    } else {
      CutTrailingSpace(step, piece, visit);
    }
  }

  template <typename Visit>
  void CutRuns(size_t step, const Piece& piece, const Visit& visit) const {
    const CompiledStep& run = steps_[step];
    Piece gap = {piece.begin, piece.begin, 0};  // what lies before the next run
    Piece before_last = gap;                    // the gap without its last character
    uint8_t last_bits = 0;
    while (gap.end != piece.end) {
      int length;
      const uint8_t bits = At(gap.end, length);
      if (!(bits & run.bit)) {
        before_last = gap;
        last_bits = bits;
        gap.end += length;
        gap.bits |= bits;
        continue;
      }
      Piece match = {gap.end, gap.end + length, bits};
      for (int count = 1; match.end != piece.end && count != run.at_most; ++count) {
        const uint8_t next = At(match.end, length);
        if (!(next & run.bit)) break;
        match.end += length;
        match.bits |= next;
      }
      if (run.optional_space && (last_bits & kSpace)) {
        gap = before_last;
        match.begin = gap.end;
        match.bits |= last_bits;
      }
      if (gap.begin != gap.end) Apply(step + 1, gap, visit);
      Apply(step + 1, match, visit);
      gap = before_last = {match.end, match.end, 0};
      last_bits = 0;
    }
    if (gap.begin != gap.end) Apply(step + 1, gap, visit);
  }

  template <typename Visit>
  void CutTrailingSpace(size_t step, const Piece& piece, const Visit& visit) const {
    const char* done = piece.begin;
    const auto cut = [&](const char* begin, const char* end) {
      if (done != begin) Apply(step + 1, {done, begin, piece.bits}, visit);
      if (begin != end) Apply(step + 1, {begin, end, piece.bits}, visit);
      done = end;
    };
    const char* p = piece.begin;
    while (p != piece.end) {
      const char* const run = p;
      const char* last_break = run;
      int length;
      while (p != piece.end && (At(p, length) & kSpace)) {
        if (*p == '\n') last_break = p;
        p += length;
      }
      if (p == piece.end) {
        cut(run, p);
      } else {
        if (last_break != run) cut(run, last_break);
        p += Utf8Length(*p);
      }
    }
    if (done != piece.end) cut(piece.end, piece.end);
  }

  std::vector<CompiledStep> steps_;
  CodePointTable table_;
  std::array<uint8_t, 128> ascii_ = {};
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_CLASS_SEQUENCE_H_
