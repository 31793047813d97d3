// MapDocuments as a pass of a stage over its documents.
#ifndef MILLRACE_DATA_CORPUS_DOCUMENT_PASS_H_
#define MILLRACE_DATA_CORPUS_DOCUMENT_PASS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "data/corpus/document.h"
#include "pipelines/protocol/stage.h"

namespace millrace::data {

// The pass `index` (from 0) of `count`; `what` it does, in a word.
struct DocumentPass {
  int index = 0;
  int count = 1;
  absl::string_view what = "";
};

// As MapDocuments, from the first document on, with the stage's threads. Reports progress in bytes of text over all
// passes, and ends with Cancelled when the stage is interrupted.
template <typename Result>
absl::Status RunPass(Stage& stage, DocumentReader& reader, const DocumentPass& pass,
                     const std::function<void(Document&, const DocumentPlace&, Result&)>& map,
                     const std::function<absl::Status(Document&, Result&)>& reduce) {
  struct Counted {
    Result result = {};
    int64_t text_bytes = 0;  // before `map`
  };
  const double all = reader.text_bytes();
  double done = pass.index * all;
  reader.Rewind();
  return MapDocuments<Counted>(
      reader, stage.threads(),
      [&map](Document& document, const DocumentPlace& place, Counted& counted) {
        counted.text_bytes = document.text.size();
        map(document, place, counted.result);
      },
      [&](Document& document, Counted& counted) {
        if (Stage::Interrupted()) return absl::CancelledError("interrupted");
        done += counted.text_bytes;
        stage.ReportProgress(done, pass.count * all, "bytes", pass.what);
        return reduce(document, counted.result);
      });
}

// A reader for a stage of this `kind` that numbers documents with 32 bits. OutOfRange: there are more.
inline absl::StatusOr<DocumentReader> OpenNumbered(const std::vector<std::string>& folders, absl::string_view kind) {
  absl::StatusOr<DocumentReader> reader = DocumentReader::Open(folders);
  if (reader.ok() && reader->documents() > UINT32_MAX) {
    return absl::OutOfRangeError(absl::StrCat(kind, " takes at most ", UINT32_MAX, " documents at a time, here are ",
                                              reader->documents(), "\n  fix: one ", kind,
                                              " stage for each part of the corpus"));
  }
  return reader;
}

}  // namespace millrace::data

#endif  // MILLRACE_DATA_CORPUS_DOCUMENT_PASS_H_
