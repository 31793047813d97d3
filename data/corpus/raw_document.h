// Documents as they stand in the user's files: a line of a JSONL file, or a whole plain text file, not looked into yet.
#ifndef MILLRACE_DATA_CORPUS_RAW_DOCUMENT_H_
#define MILLRACE_DATA_CORPUS_RAW_DOCUMENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/corpus/byte_source.h"

namespace millrace::data {

struct RawFile {
  std::string name;  // relative: what ids and messages say
  std::string path;
  bool is_jsonl = false;
};

struct RawBatch {
  struct Item {
    size_t file = 0;
    int64_t line = 0;         // from 1; 0 for a plain text file
    bool too_long = false;    // longer than the reader takes; `bytes` is empty
    absl::string_view bytes;  // without line end; followed by enough readable bytes for simdjson
  };
  std::vector<Item> items;
  std::string buffer;  // what the items point into
};

// Streams over the files, in order. A byte order mark at the start of a file is taken away; lines of nothing but spaces
// are no documents. Memory: 4 MiB, or the longest document, of which at most `max_document_bytes` are held. Not
// thread-safe.
class RawReader {
 public:
  // As a JSON string of at most six bytes for one, such a text still is below the 4 GiB that simdjson takes.
  static constexpr size_t kMaxDocumentBytes = size_t{512} << 20;

  explicit RawReader(std::vector<RawFile> files, size_t max_document_bytes = kMaxDocumentBytes)
      : files_(std::move(files)), max_document_bytes_(max_document_bytes) {}

  const std::vector<RawFile>& files() const { return files_; }

  // The next documents, about 4 MiB of them. False at the end.
  absl::StatusOr<bool> NextBatch(RawBatch& batch);

  // Of the files, compressed or not.
  int64_t file_bytes_read() const { return done_file_bytes_ + (source_ ? source_->file_bytes_read() : 0); }

 private:
  struct Span {
    size_t file;
    int64_t line;
    size_t begin, end;
    bool too_long;
  };
  // Where what begins at `begin` and does not end in `buffer` is too long: notes that and gives its bytes up.
  void GiveUpIfTooLong(std::string& buffer, size_t begin, std::vector<Span>& spans);
  // Adds the lines of buffer[begin, end), the last of which may have no line end.
  void AddLines(const std::string& buffer, size_t begin, size_t end, std::vector<Span>& spans);

  std::vector<RawFile> files_;
  const size_t max_document_bytes_;
  size_t file_ = 0;
  std::unique_ptr<ByteSource> source_;  // of files_[file_], once it is open
  int64_t line_ = 0;                    // lines of it that are behind us
  std::string rest_;                    // the beginning of its next document
  bool giving_up_ = false;              // what comes belongs to a document that is too long
  int64_t done_file_bytes_ = 0;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_CORPUS_RAW_DOCUMENT_H_
