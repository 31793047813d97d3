// Cuts text into the pieces within which byte-pair merges happen, as a sequence of Split and Digits pre-tokenizers of
// Hugging Face's `tokenizers` does, each of which cuts the pieces of the one before; behavior "Isolated".
// The sequences of GPT-2 and DeepSeek V3 have splitters of their own (splitters.h), those of scans over character
// classes are done together (class_sequence.h); in others each pattern has a pass of its own, by RE2 where it is
// nothing simpler (split_regex.h).
#ifndef MILLRACE_DATA_TOKENIZER_PRE_TOKENIZER_H_
#define MILLRACE_DATA_TOKENIZER_PRE_TOKENIZER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/tokenizer/class_sequence.h"
#include "data/tokenizer/splitters.h"

namespace millrace::data {

// One member of the sequence.
struct SplitStep {
  enum class Kind {
    kRegex,             // `pattern` is an expression
    kText,              // `pattern` is the text itself
    kDigits,            // runs of numbers
    kIndividualDigits,  // each number by itself
  };
  Kind kind = Kind::kRegex;
  std::string pattern;

  friend bool operator==(const SplitStep&, const SplitStep&) = default;
};

// The sequences by name (PreTokenizer in pipelines/schema/tokenizer.proto).
std::vector<SplitStep> Gpt2Steps();
std::vector<SplitStep> DeepSeekLlmSteps();
std::vector<SplitStep> DeepSeekCoderSteps();
std::vector<SplitStep> DeepSeekV3Steps();

// Cuts one piece further. Thread-safe.
class SplitPass {
 public:
  virtual ~SplitPass() = default;
  // Appends the pieces of `text`, none of them empty.
  virtual void Split(absl::string_view text, std::vector<absl::string_view>& pieces) const = 0;
};

// Thread-safe.
class PreTokenizer {
 public:
  // Unimplemented: a step that we cannot do as Hugging Face does, by name.
  static absl::StatusOr<PreTokenizer> Create(const std::vector<SplitStep>& steps);

  // Calls visit(piece) for each piece of `text` (valid UTF-8), in order; together they are `text`. Time is linear in
  // its length; memory too, where patterns have passes of their own.
  template <typename Visit>
  void ForEachPiece(absl::string_view text, const Visit& visit) const {
    switch (kind_) {
      case Kind::kGpt2:
        return Drain(Gpt2Splitter(text), visit);
      case Kind::kDeepSeekV3:
        return Drain(DeepSeekV3Splitter(text), visit);
      case Kind::kClasses:
        return classes_->ForEachPiece(text, visit);
      case Kind::kPasses:
        for (const absl::string_view piece : Pieces(text)) visit(piece);
    }
  }

 private:
  enum class Kind { kGpt2, kDeepSeekV3, kClasses, kPasses };

  template <typename Splitter, typename Visit>
  static void Drain(Splitter splitter, const Visit& visit) {
    absl::string_view piece;
    while (splitter.Next(piece)) visit(piece);
  }
  std::vector<absl::string_view> Pieces(absl::string_view text) const;

  Kind kind_ = Kind::kPasses;
  std::optional<ClassSequence> classes_;
  std::vector<std::unique_ptr<SplitPass>> passes_;
};

// The pass of one step, never one of the splitters of whole sequences. For tests, too.
absl::StatusOr<std::unique_ptr<SplitPass>> MakeSplitPass(const SplitStep& step);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_PRE_TOKENIZER_H_
