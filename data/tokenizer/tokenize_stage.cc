#include "data/tokenizer/tokenize_stage.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "data/corpus/document.h"
#include "data/corpus/document_pass.h"
#include "data/tokenizer/encoder_pool.h"
#include "data/tokenizer/token_file.h"
#include "data/tokenizer/tokenizer.h"

namespace millrace::data {
namespace {

struct Encoded {
  std::vector<uint32_t> ids;
  Sha256Bytes text_sha256;
};

}  // namespace

absl::Status TokenizeStage(Stage& stage, const Tokenize& parameters) {
  ASSIGN_OR_RETURN(const std::string out, stage.OutputPath("tokens"));
  ASSIGN_OR_RETURN(const std::string tokenizer_path, stage.InputPath("tokenizer"));
  ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Load(tokenizer_path));
  ASSIGN_OR_RETURN(DocumentReader reader, DocumentReader::Open(stage.InputPaths("from")));
  ASSIGN_OR_RETURN(TokenFileWriter writer,
                   TokenFileWriter::Create(out, {.sources = static_cast<uint32_t>(reader.sources()),
                                                 .vocab_size = tokenizer.vocab_size(),
                                                 .eos_id = tokenizer.eos_id()}));
  EncoderPool pool(tokenizer);
  RETURN_IF_ERROR(RunPass<Encoded>(
      stage, reader, {},
      [&](Document& document, const DocumentPlace&, Encoded& encoded) {
        std::unique_ptr<Encoder> encoder = pool.Take();
        const absl::Span<const uint32_t> ids = encoder->Encode(document.text, SpecialTokens::kAsText);
        encoded.ids.assign(ids.begin(), ids.end());
        encoded.text_sha256 = Sha256Of(document.text);
        pool.GiveBack(std::move(encoder));
      },
      [&](Document& document, Encoded& encoded) {
        writer.Append({.ids = encoded.ids,
                       .source = static_cast<uint32_t>(document.source),
                       .held_out = document.held_out,
                       .text_bytes = document.text.size(),
                       .text_sha256 = encoded.text_sha256});
        return absl::OkStatus();
      }));
  RETURN_IF_ERROR(writer.Close());
  const TokenFileInfo& info = writer.info();
  stage.ReportMetric("documents", info.documents);
  stage.ReportMetric("tokens", info.ids);
  stage.ReportMetric("bytes", info.text_bytes);
  if (info.ids > 0) stage.ReportMetric("bytes_per_token", static_cast<double>(info.text_bytes) / info.ids);
  return absl::OkStatus();
}

}  // namespace millrace::data
