// The program of the `pack` stage. Metrics: sequences, tokens, padding_fraction, documents, documents_cut,
// documents_empty, tokens_dropped, held_out_documents, held_out_tokens, and per source N "documents.source_N",
// "sequences.source_N", "tokens.source_N", "held_out_documents.source_N".
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "data/shards/pack.h"
#include "data/tokenizer/token_file.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/pack.pb.h"

namespace millrace::data {
namespace {

absl::Status Run(millrace::Stage& stage, const Pack& parameters) {
  ASSIGN_OR_RETURN(const std::string from, stage.InputPath("from"));
  ASSIGN_OR_RETURN(const std::string train, stage.OutputPath("train"));
  ASSIGN_OR_RETURN(const std::string held_out, stage.OutputPath("held_out"));
  ASSIGN_OR_RETURN(const TokenFile tokens, TokenFile::Open(from));
  const auto total = static_cast<double>(tokens.num_documents());
  ASSIGN_OR_RETURN(const PackResult result, PackTokens(tokens, parameters, train, held_out, [&](int64_t done) {
                     stage.ReportProgress(static_cast<double>(done), total, "documents");
                   }));

  stage.ReportMetric("sequences", result.train.sequences);
  stage.ReportMetric("tokens", result.train.tokens);
  stage.ReportMetric("padding_fraction", result.padding_fraction());
  stage.ReportMetric("documents", result.train.documents);
  stage.ReportMetric("documents_cut", result.documents_cut);
  stage.ReportMetric("documents_empty", result.documents_empty);
  stage.ReportMetric("tokens_dropped", result.tokens_dropped);
  stage.ReportMetric("held_out_documents", result.held_out.documents);
  stage.ReportMetric("held_out_tokens", result.held_out.tokens);
  for (const ShardManifest::Source& source : result.train.sources) {
    stage.ReportMetric(absl::StrCat("documents.source_", source.source), source.documents);
    stage.ReportMetric(absl::StrCat("sequences.source_", source.source), source.sequences);
    stage.ReportMetric(absl::StrCat("tokens.source_", source.source), source.tokens);
  }
  for (const ShardManifest::Source& source : result.held_out.sources)
    stage.ReportMetric(absl::StrCat("held_out_documents.source_", source.source), source.documents);
  if (result.train.sequences == 0) stage.ReportWarning("no training document has any ids: there are no sequences");
  return absl::OkStatus();
}

}  // namespace
}  // namespace millrace::data

int main() { return millrace::StageMain<millrace::Pack>(millrace::data::Run); }
