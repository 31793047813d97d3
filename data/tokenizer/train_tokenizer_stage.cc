#include "data/tokenizer/train_tokenizer_stage.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/quantity.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "data/corpus/document.h"
#include "data/corpus/document_pass.h"
#include "data/corpus/hash_sample.h"
#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/trained_tokenizer.h"
#include "data/tokenizer/word_counts.h"

namespace millrace::data {
namespace {

std::vector<SplitStep> StepsOf(::millrace::PreTokenizer pre_tokenizer) {
  switch (pre_tokenizer) {
    case ::millrace::DEEPSEEK_LLM:
      return DeepSeekLlmSteps();
    case ::millrace::DEEPSEEK_CODER:
      return DeepSeekCoderSteps();
    case ::millrace::DEEPSEEK_V3:
      return DeepSeekV3Steps();
    case ::millrace::GPT2:
      return Gpt2Steps();
  }
  return DeepSeekLlmSteps();
}

// The documents of the sample, by ordinal: those with the smallest SHA-256 of their text, `sample_bytes` of them.
absl::StatusOr<std::vector<int64_t>> SampleOf(Stage& stage, DocumentReader& reader, int64_t sample_bytes) {
  HashSample<Sha256Bytes> sample(sample_bytes);
  int64_t ordinal = 0;
  RETURN_IF_ERROR(RunPass<Sha256Bytes>(
      stage, reader, {0, 2, "sampling"},
      [](Document& document, const DocumentPlace&, Sha256Bytes& hash) { hash = Sha256Of(document.text); },
      [&](Document& document, Sha256Bytes& hash) {
        if (!document.held_out) sample.Add(hash, ordinal, document.text.size());
        ++ordinal;
        return absl::OkStatus();
      }));
  return sample.Take();
}

struct Corpus {
  std::vector<WordCount> words;
  int64_t documents = 0;
  int64_t bytes = 0;
};

absl::StatusOr<Corpus> ReadCorpus(Stage& stage, const TrainTokenizer& parameters, const std::vector<SplitStep>& steps) {
  ASSIGN_OR_RETURN(DocumentReader reader, DocumentReader::Open(stage.InputPaths("from")));
  DocumentPass pass = {0, 1, "counting"};
  std::optional<std::vector<int64_t>> sample;
  if (parameters.has_sample()) {
    absl::StatusOr<int64_t> sample_bytes = ParseBytes(parameters.sample());
    if (!sample_bytes.ok()) return Annotate(sample_bytes.status(), "sample");
    ASSIGN_OR_RETURN(sample, SampleOf(stage, reader, *sample_bytes));
    pass = {1, 2, "counting"};
  }
  ASSIGN_OR_RETURN(const PreTokenizer pre_tokenizer, PreTokenizer::Create(steps));
  WordCounter counter(pre_tokenizer);
  Corpus corpus;
  RETURN_IF_ERROR(RunPass<bool>(
      stage, reader, pass,
      [&](Document& document, const DocumentPlace& place, bool& used) {
        used = !document.held_out &&
               (!sample.has_value() || std::binary_search(sample->begin(), sample->end(), place.ordinal));
        if (used) counter.Add(document.text);
      },
      [&](Document& document, bool& used) {
        corpus.documents += used;
        corpus.bytes += used ? document.text.size() : 0;
        return absl::OkStatus();
      }));
  ASSIGN_OR_RETURN(corpus.words, counter.Take());
  return corpus;
}

}  // namespace

absl::Status TrainTokenizerStage(Stage& stage, const TrainTokenizer& parameters) {
  ASSIGN_OR_RETURN(const std::string out, stage.OutputPath("tokenizer"));
  if (parameters.vocab_size() < 257) {
    return absl::InvalidArgumentError(absl::StrCat("vocab_size is ", parameters.vocab_size(),
                                                   "\n  fix: at least 257: one special token and the 256 bytes"));
  }
  const std::vector<SplitStep> steps = StepsOf(parameters.pre_tokenizer());
  ASSIGN_OR_RETURN(const Corpus corpus, ReadCorpus(stage, parameters, steps));
  ASSIGN_OR_RETURN(const TrainedBpe trained, TrainBpe(corpus.words, parameters.vocab_size() - 1));
  const int64_t vocab_size = trained.tokens.size() + 1;
  if (vocab_size < parameters.vocab_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("vocab_size ", parameters.vocab_size(), " cannot be reached\n  why: the ", corpus.documents,
                     " training documents (", FormatBytes(corpus.bytes), ") have pairs for ", vocab_size,
                     " entries only\n  fix: set vocab_size to at most ", vocab_size, ", or train on more text"));
  }
  const TokenizerDefinition definition = DefinitionOf(trained, steps);
  RETURN_IF_ERROR(WriteFile(JoinPath(out, "tokenizer.json"), FormatTokenizerJson(definition)));
  RETURN_IF_ERROR(WriteFile(JoinPath(out, "tokenizer_config.json"), FormatTokenizerConfig(kEndOfText)));

  stage.ReportMetric("vocab_size", vocab_size);
  stage.ReportMetric("merges", trained.merges.size());
  stage.ReportMetric("documents", corpus.documents);
  stage.ReportMetric("bytes", corpus.bytes);
  stage.ReportMetric("unique_words", corpus.words.size());
  if (trained.text_ids > 0) stage.ReportMetric("bytes_per_token", static_cast<double>(corpus.bytes) / trained.text_ids);
  return absl::OkStatus();
}

}  // namespace millrace::data
