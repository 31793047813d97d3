// The artifact TOKENS: the ids of documents, and of each document where it came from. A folder of three files; all
// numbers are little-endian.
//
//   ids.u32        the ids of all documents one after the other, 4 bytes each; no end-of-text ids between them
//   documents.bin  a header and one record per document, in the same order
//   manifest.json  the header once more, for people and scripts
//
//   documents.bin, header (64 bytes)              a record (56 bytes)
//   offset size                                   offset size
//        0    8  magic "MRTOKENS"                      0    8  index of its first id in ids.u32
//        8    4  version, 1                            8    4  source: an ordinal below `sources`
//       12    4  bytes of a record, 56                12    4  flags: bit 0 held out; the others 0
//       16    8  documents                            16    8  bytes of its text
//       24    8  ids                                  24   32  SHA-256 of its text
//       32    8  bytes of text
//       40    4  sources                         A document's ids end where the next one's begin, the last one's at
//       44    4  vocab_size: each id is below    the end of the file. A document may have none (its text is empty).
//       48    4  eos_id, the end-of-text id; 0xFFFFFFFF: the tokenizer has none
//       52   12  zero
#ifndef MILLRACE_DATA_TOKENIZER_TOKEN_FILE_H_
#define MILLRACE_DATA_TOKENIZER_TOKEN_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/file.h"
#include "base/sha256.h"

namespace millrace::data {

struct TokenFileInfo {
  int64_t documents = 0;
  int64_t ids = 0;
  int64_t text_bytes = 0;
  uint32_t sources = 0;
  uint32_t vocab_size = 0;
  std::optional<uint32_t> eos_id;

  friend bool operator==(const TokenFileInfo&, const TokenFileInfo&) = default;
};

// One document. `ids` points into the map, or into the caller's memory.
struct TokenDocument {
  absl::Span<const uint32_t> ids;
  uint32_t source = 0;
  bool held_out = false;
  uint64_t text_bytes = 0;
  Sha256Bytes text_sha256 = {};
};

// Reads a TOKENS folder through memory maps. Thread-safe: immutable after Open.
class TokenFile {
 public:
  // NotFound: a file is missing. DataLoss: a file is not what the table above says, or was not closed.
  static absl::StatusOr<TokenFile> Open(const std::string& folder);

  const TokenFileInfo& info() const { return info_; }
  int64_t num_documents() const { return info_.documents; }
  // `index` below num_documents().
  TokenDocument document(int64_t index) const;
  // ids.u32 as a whole.
  absl::Span<const uint32_t> ids() const;
  // The ids [first, first + count) of a document, into `ids`. For those who read whole files: what is read through the
  // map counts as this process's memory, this does not.
  absl::Status ReadIds(int64_t index, int64_t first, int64_t count, std::vector<uint32_t>& ids) const;

 private:
  struct Descriptor;
  struct CloseDescriptor {
    void operator()(Descriptor* descriptor) const;
  };

  std::string ids_path_;
  std::unique_ptr<Descriptor, CloseDescriptor> ids_file_;
  MappedFile ids_;
  MappedFile documents_;
  TokenFileInfo info_;
};

// Writes a TOKENS folder, document by document; memory does not grow with them. Not thread-safe.
class TokenFileWriter {
 public:
  // `folder` exists. `info` gives sources, vocab_size and eos_id; the counts are the writer's.
  static absl::StatusOr<TokenFileWriter> Create(const std::string& folder, const TokenFileInfo& info);

  // `document.source` is below `sources` and its ids are below `vocab_size`.
  void Append(const TokenDocument& document);
  // The first error of any write. Only after this the folder can be opened.
  absl::Status Close();

  const TokenFileInfo& info() const { return info_; }

 private:
  TokenFileWriter(std::string folder, FileWriter ids, FileWriter documents, const TokenFileInfo& info)
      : folder_(std::move(folder)), ids_(std::move(ids)), documents_(std::move(documents)), info_(info) {}

  std::string folder_;
  FileWriter ids_;
  FileWriter documents_;
  TokenFileInfo info_;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_TOKEN_FILE_H_
