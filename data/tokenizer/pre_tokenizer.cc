#include "data/tokenizer/pre_tokenizer.h"

#include <re2/re2.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/utf8.h"
#include "data/tokenizer/split_regex.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace millrace::data {
namespace {

using Pieces = std::vector<absl::string_view>;

// Collects matches, and what lies between them.
class Isolated {
 public:
  Isolated(absl::string_view text, Pieces& pieces) : text_(text), pieces_(pieces) {}
  ~Isolated() { Add(gap_, text_.size()); }

  void Match(size_t begin, size_t end) {
    Add(gap_, begin);
    Add(begin, end);
    gap_ = end;
  }

 private:
  void Add(size_t begin, size_t end) {
    if (begin < end) pieces_.push_back(text_.substr(begin, end - begin));
  }

  absl::string_view text_;
  Pieces& pieces_;
  size_t gap_ = 0;
};

// `\s?[set]+` and the like.
class ClassRunPass : public SplitPass {
 public:
  explicit ClassRunPass(const ClassRun& run) : optional_space_(run.optional_space), at_most_(run.at_most) {
    table_.Add(run.set, kInSet);
    table_.Add(RangesOfClass(unicode_class::kSpace), kSpace);
  }

  void Split(absl::string_view text, Pieces& pieces) const override {
    Isolated isolated(text, pieces);
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    const char* p = begin;
    while (p != end) {
      int length;
      const uint8_t bits = At(p, length);
      const char* const next = p + length;
      const char* set_begin = nullptr;
      int next_length;
      if (optional_space_ && (bits & kSpace) && next != end && (At(next, next_length) & kInSet)) {
        set_begin = next;
      } else if (bits & kInSet) {
        set_begin = p;
      } else {
        p = next;
        continue;
      }
      const char* q = set_begin;
      for (int count = 0; q != end && (at_most_ == 0 || count < at_most_) && (At(q, length) & kInSet); ++count)
        q += length;
      isolated.Match(p - begin, q - begin);
      p = q;
    }
  }

 private:
  static constexpr uint8_t kInSet = 1;
  static constexpr uint8_t kSpace = 2;

  uint8_t At(const char* p, int& length) const { return table_[DecodeUtf8(p, length)]; }

  CodePointTable table_;
  const bool optional_space_;
  const int at_most_;
};

// `\s+$`, where `$` is the end of a line.
class TrailingSpacePass : public SplitPass {
 public:
  void Split(absl::string_view text, Pieces& pieces) const override {
    Isolated isolated(text, pieces);
    size_t p = 0;
    while (p < text.size()) {
      const size_t run = p;
      size_t last_break = run;
      int length;
      while (p < text.size() && (UnicodeClass(DecodeUtf8(&text[p], length)) & unicode_class::kSpace)) {
        if (text[p] == '\n') last_break = p;
        p += length;
      }
      if (p == text.size() && p > run) {
        isolated.Match(run, p);
      } else if (last_break > run) {
        isolated.Match(run, last_break);
      }
      if (p < text.size()) p += Utf8Length(text[p]);
    }
  }
};

template <typename Splitter>
class SplitterPass : public SplitPass {
 public:
  void Split(absl::string_view text, Pieces& pieces) const override {
    Splitter splitter(text);
    absl::string_view piece;
    while (splitter.Next(piece)) pieces.push_back(piece);
  }
};

class TextPass : public SplitPass {
 public:
  explicit TextPass(std::string pattern) : pattern_(std::move(pattern)) {}

  void Split(absl::string_view text, Pieces& pieces) const override {
    Isolated isolated(text, pieces);
    for (size_t p = 0; (p = text.find(pattern_, p)) != absl::string_view::npos; p += pattern_.size())
      isolated.Match(p, p + pattern_.size());
  }

 private:
  const std::string pattern_;
};

class Re2Pass : public SplitPass {
 public:
  Re2Pass(const Re2Pattern& pattern, const RE2::Options& options)
      : expression_(pattern.pattern, options), gives_back_last_space_(pattern.gives_back_last_space) {}

  void Split(absl::string_view text, Pieces& pieces) const override {
    Isolated isolated(text, pieces);
    const re2::StringPiece input(text.data(), text.size());
    const int groups = gives_back_last_space_ ? 2 : 1;
    re2::StringPiece group[2];
    size_t p = 0;
    while (p < text.size() && expression_.Match(input, p, text.size(), RE2::UNANCHORED, group, groups)) {
      const size_t begin = group[0].data() - text.data();
      size_t end = begin + group[0].size();
      if (gives_back_last_space_ && group[1].data() != nullptr && end < text.size()) {
        size_t last = end - 1;
        while ((static_cast<uint8_t>(text[last]) & 0xC0) == 0x80) --last;
        if (last > begin) end = last;
      }
      isolated.Match(begin, end);
      p = end;
    }
  }

 private:
  const RE2 expression_;
  const bool gives_back_last_space_;
};

constexpr absl::string_view kTrailingSpace = R"(\s+$)";
constexpr absl::string_view kCjkOfDeepSeekLlm = "[一-龥ࠀ-一가-퟿]+";

// Cased letters, as DeepSeek LLM's tokenizer.json lists them.
constexpr CodePointRange kLettersOfDeepSeekLlm[] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},       {0xD8, 0xF6},
    {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},     {0x295, 0x2AF},     {0x370, 0x373},
    {0x376, 0x377},     {0x37B, 0x37D},     {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},
    {0x38C, 0x38C},     {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},
    {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},
    {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},
    {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210A, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},
    {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},   {0xA722, 0xA76F},
    {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},
    {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};

std::string DeepSeekLlmLetters() {
  std::string pattern = "\\s?[";
  for (const CodePointRange& range : kLettersOfDeepSeekLlm) {
    AppendUtf8(range.first, pattern);
    if (range.last == range.first) continue;
    pattern += '-';
    AppendUtf8(range.last, pattern);
  }
  return pattern + "]+";
}

std::optional<ClassRun> ClassRunOf(const SplitStep& step) {
  switch (step.kind) {
    case SplitStep::Kind::kRegex:
      return ParseClassRun(step.pattern);
    case SplitStep::Kind::kText:
      return std::nullopt;
    case SplitStep::Kind::kDigits:
      return ClassRun{.set = RangesOfClass(unicode_class::kNumericInRust)};
    case SplitStep::Kind::kIndividualDigits:
      return ClassRun{.set = RangesOfClass(unicode_class::kNumericInRust), .at_most = 1};
  }
  return std::nullopt;
}

// nullopt: a step is neither a class run nor `\s+$`.
std::optional<ClassSequence> ClassSequenceOf(const std::vector<SplitStep>& steps) {
  std::vector<ClassSequence::Step> classes;
  for (const SplitStep& step : steps) {
    classes.push_back(ClassRunOf(step));
    const bool trailing_space = step.kind == SplitStep::Kind::kRegex && step.pattern == kTrailingSpace;
    if (!classes.back().has_value() && !trailing_space) return std::nullopt;
  }
  return ClassSequence::Create(classes);
}

SplitStep Regex(absl::string_view pattern) { return {SplitStep::Kind::kRegex, std::string(pattern)}; }

}  // namespace

std::vector<SplitStep> Gpt2Steps() { return {Regex(kGpt2Pattern)}; }

std::vector<SplitStep> DeepSeekLlmSteps() {
  return {Regex("[\r\n]"),       Regex(DeepSeekLlmLetters()), Regex("\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"),
          Regex(kTrailingSpace), Regex(kCjkOfDeepSeekLlm),    {SplitStep::Kind::kIndividualDigits, ""}};
}

std::vector<SplitStep> DeepSeekCoderSteps() {
  return {Regex("[\r\n]"),
          Regex("\\s?\\p{L}+"),
          Regex("\\s?\\p{P}+"),
          Regex(kCjkOfDeepSeekLlm),
          {SplitStep::Kind::kIndividualDigits, ""}};
}

std::vector<SplitStep> DeepSeekV3Steps() {
  return {Regex(kDeepSeekV3Numbers), Regex(kDeepSeekV3Cjk), Regex(kDeepSeekV3Words)};
}

absl::StatusOr<std::unique_ptr<SplitPass>> MakeSplitPass(const SplitStep& step) {
  switch (step.kind) {
    case SplitStep::Kind::kText:
      if (step.pattern.empty())
        return absl::UnimplementedError("a Split pattern that is an empty text is not supported");
      return std::make_unique<TextPass>(step.pattern);
    case SplitStep::Kind::kDigits:
    case SplitStep::Kind::kIndividualDigits:
    case SplitStep::Kind::kRegex:
      break;
  }
  if (const std::optional<ClassRun> run = ClassRunOf(step)) return std::make_unique<ClassRunPass>(*run);
  if (step.pattern == kGpt2Pattern) return std::make_unique<SplitterPass<Gpt2Splitter>>();
  if (step.pattern == kDeepSeekV3Words) return std::make_unique<SplitterPass<DeepSeekV3WordSplitter>>();
  if (step.pattern == kTrailingSpace) return std::make_unique<TrailingSpacePass>();
  absl::StatusOr<Re2Pattern> pattern = TranslateToRe2(step.pattern);
  if (!pattern.ok()) return Annotate(pattern.status(), absl::StrCat("pattern \"", step.pattern, "\""));
  RE2::Options options;
  options.set_max_mem(int64_t{256} << 20);
  return std::make_unique<Re2Pass>(*pattern, options);
}

absl::StatusOr<PreTokenizer> PreTokenizer::Create(const std::vector<SplitStep>& steps) {
  PreTokenizer pre_tokenizer;
  if (steps == Gpt2Steps()) {
    pre_tokenizer.kind_ = Kind::kGpt2;
  } else if (steps == DeepSeekV3Steps()) {
    pre_tokenizer.kind_ = Kind::kDeepSeekV3;
  } else if (std::optional<ClassSequence> classes = ClassSequenceOf(steps)) {
    pre_tokenizer.kind_ = Kind::kClasses;
    pre_tokenizer.classes_ = std::move(classes);
  } else {
    for (const SplitStep& step : steps) {
      ASSIGN_OR_RETURN(std::unique_ptr<SplitPass> pass, MakeSplitPass(step));
      pre_tokenizer.passes_.push_back(std::move(pass));
    }
  }
  return pre_tokenizer;
}

std::vector<absl::string_view> PreTokenizer::Pieces(absl::string_view text) const {
  std::vector<absl::string_view> pieces;
  if (!text.empty()) pieces.push_back(text);
  std::vector<absl::string_view> next;
  for (const std::unique_ptr<SplitPass>& pass : passes_) {
    next.clear();
    for (const absl::string_view piece : pieces) pass->Split(piece, next);
    pieces.swap(next);
  }
  return pieces;
}

}  // namespace millrace::data
