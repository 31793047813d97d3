// The DOCUMENTS artifact: what flows between the data stages.
//
// A folder with
//   manifest.json            {"documents": N, "bytes": B, "sources": S}
//   documents-00000.jsonl    one document a line; the next file begins once this one has 64 MiB
//   documents-00001.jsonl    ...
// where N counts lines, B the UTF-8 bytes of all texts, and S the sources that ordinals may name (`source` < S). No
// documents: no file but the manifest. A line has these fields, in this order when we write it:
//   {"id":"wiki.jsonl:17","text":"...","source":0,"language":"en","licence":"CC0-1.0","held_out":true}
// `id` and `text` are always there; `source` is 0, `language` and `licence` are empty and `held_out` is false where
// left out. UTF-8 stands as itself; only '"', '\' and the controls below U+0020 are escaped. So the bytes are a
// function of the documents. A reader accepts any field order and ignores fields that it does not know: tools of other
// people may write this format too.
#ifndef MILLRACE_DATA_CORPUS_DOCUMENT_H_
#define MILLRACE_DATA_CORPUS_DOCUMENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/status_macros.h"

namespace millrace::data {

struct Document {
  std::string id;
  std::string text;
  int32_t source = 0;    // ordinal of the corpus stage, depth-first over `from`
  std::string language;  // BCP 47, or "code"; may be empty
  std::string licence;   // SPDX; may be empty
  bool held_out = false;

  friend bool operator==(const Document&, const Document&) = default;
};

// `document` as a line of the format above, with its newline.
void AppendDocumentLine(const Document& document, std::string& out);
// `text` as a JSON string, with its quotes. `text` is UTF-8.
void AppendJsonString(absl::string_view text, std::string& out);

// Where a document stands among a reader's files.
struct DocumentPosition {
  uint64_t offset = 0;
  uint32_t length = 0;  // without the newline
  uint32_t file = 0;
};

// The same, with the ordinal of the document over all inputs.
struct DocumentPlace {
  int64_t ordinal = 0;
  DocumentPosition position;
};

// Some consecutive lines. Its memory is reused from one call to the next.
struct DocumentBatch {
  struct Line {
    absl::string_view json;  // followed by enough readable bytes for simdjson
    DocumentPosition position;
  };
  std::vector<Line> lines;
  int64_t first_document = 0;  // ordinal of lines[0] over all inputs

  std::string buffer;      // what `lines` point into
  int64_t first_line = 0;  // line number of lines[0] in its file, from 1
};

// Streams the documents of one or several artifacts, in order. Holds one block of text (4 MiB, or the longest line).
// Source ordinals of the second and later artifacts are moved up by the sources of those before.
//
// Errors: NotFound without a manifest; InvalidArgument, with file and line, for a line that is no document; DataLoss
// where manifest and files disagree.
//
// Next and NextBatch are not thread-safe; Parse and ReadAt are.
class DocumentReader {
 public:
  static absl::StatusOr<DocumentReader> Open(const std::vector<std::string>& folders);
  static absl::StatusOr<DocumentReader> Open(const std::string& folder) {
    return Open(std::vector<std::string>{folder});
  }
  DocumentReader(DocumentReader&&) noexcept;
  DocumentReader& operator=(DocumentReader&&) noexcept;
  ~DocumentReader();

  // Over all inputs, as their manifests have it.
  int64_t documents() const { return documents_; }
  int64_t text_bytes() const { return text_bytes_; }
  int32_t sources() const { return sources_; }

  // False at the end.
  absl::StatusOr<bool> Next(Document& document);

  // The next lines, about 4 MiB of them, unparsed. False at the end. Do not mix with Next.
  absl::StatusOr<bool> NextBatch(DocumentBatch& batch);
  absl::Status Parse(const DocumentBatch& batch, size_t index, Document& document) const;

  // Any document again; opens, reads and closes its file.
  absl::StatusOr<Document> ReadAt(const DocumentPosition& position) const;

  // Back to the first document.
  void Rewind();

 private:
  struct Folder {
    std::string path;
    int64_t documents = 0;
    int32_t source_offset = 0;
    int32_t sources = 0;
  };
  struct File {
    std::string path;
    int folder = 0;
  };
  struct Cursor;

  DocumentReader();
  absl::Status ParseLine(absl::string_view json, const File& file, Document& document) const;

  std::vector<Folder> folders_;
  std::vector<File> files_;
  int64_t documents_ = 0;
  int64_t text_bytes_ = 0;
  int32_t sources_ = 0;
  std::unique_ptr<Cursor> cursor_;
};

// Writes the artifact. Not thread-safe. Check Close(): without it there is no manifest and so no artifact.
class DocumentWriter {
 public:
  // `folder` exists and holds no documents.
  explicit DocumentWriter(std::string folder) : folder_(std::move(folder)) {}

  absl::Status Write(const Document& document);
  // A line from AppendDocumentLine, made by another thread.
  absl::Status WriteLine(absl::string_view line, int64_t text_bytes);
  absl::Status Close(int32_t sources);

  int64_t documents() const { return documents_; }
  int64_t text_bytes() const { return text_bytes_; }

 private:
  std::string folder_;
  std::string line_;
  std::optional<FileWriter> file_;
  int files_ = 0;
  int64_t documents_ = 0;
  int64_t text_bytes_ = 0;
};

// Calls `map(document, place, result)` for each document that is left in `reader`, on up to `threads` threads, and
// `reduce(document, result)` on this thread, in document order. `map` may change the document. Ends with the first
// error of reading or of `reduce`. Memory: two blocks of text whatever the corpus size.
template <typename Result>
absl::Status MapDocuments(DocumentReader& reader, int threads,
                          const std::function<void(Document&, const DocumentPlace&, Result&)>& map,
                          const std::function<absl::Status(Document&, Result&)>& reduce) {
  constexpr int64_t kChunk = 16;  // documents taken at a time by a thread
  DocumentBatch batch;
  std::vector<Document> documents;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, reader.NextBatch(batch));
    if (!more) return absl::OkStatus();
    const int64_t count = batch.lines.size();
    if (documents.size() < count) documents.resize(count);
    std::vector<Result> results(count);
    std::vector<absl::Status> errors((count + kChunk - 1) / kChunk);
    ParallelFor(threads, errors.size(), [&](int64_t chunk) {
      for (int64_t i = chunk * kChunk; i < std::min(count, (chunk + 1) * kChunk); ++i) {
        errors[chunk] = reader.Parse(batch, i, documents[i]);
        if (!errors[chunk].ok()) return;
        map(documents[i], {batch.first_document + i, batch.lines[i].position}, results[i]);
      }
    });
    for (const absl::Status& error : errors) RETURN_IF_ERROR(error);
    for (int64_t i = 0; i < count; ++i) RETURN_IF_ERROR(reduce(documents[i], results[i]));
  }
}

}  // namespace millrace::data

#endif  // MILLRACE_DATA_CORPUS_DOCUMENT_H_
