// What `gzip -9` makes of the held-out documents, for comparison with the model: deflate (RFC 1951) at level 9 as zlib
// does it (the gzip program's own differs by some 0.1 %), without gzip's header and trailer. The bytes are those of the
// original documents: decode(ids).
#ifndef MILLRACE_TRAINER_EVAL_GZIP_BASELINE_H_
#define MILLRACE_TRAINER_EVAL_GZIP_BASELINE_H_

#include <cstdint>
#include <map>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/shards/held_out.h"
#include "data/tokenizer/tokenizer.h"

namespace millrace::trainer {

// Counts the bytes that come out of deflate; keeps none. Not thread-safe.
class DeflateCounter {
 public:
  DeflateCounter();
  ~DeflateCounter();
  DeflateCounter(const DeflateCounter&) = delete;
  DeflateCounter& operator=(const DeflateCounter&) = delete;

  void Append(absl::string_view bytes);
  // The size of the whole stream; nothing may be appended after it.
  int64_t Finish();

 private:
  void Run(absl::string_view bytes, int flush);

  struct Stream;
  std::unique_ptr<Stream> stream_;
};

struct GzipSize {
  int64_t bytes = 0;               // of the documents
  int64_t per_document_bytes = 0;  // each document deflated alone
  int64_t concatenated_bytes = 0;  // one stream, in the order of the set, without separators

  double bits_per_byte_per_document() const { return 8.0 * per_document_bytes / bytes; }
  double bits_per_byte_concatenated() const { return 8.0 * concatenated_bytes / bytes; }
};

struct GzipBySource {
  GzipSize all;
  std::map<uint32_t, GzipSize> source;  // those that have documents
};

// Memory: a document for each thread. Cost: three times deflate, some 20 MB/s each.
//   InvalidArgument: the tokenizer is not the one that the set was made with (SHA-256 of a document's text).
absl::StatusOr<GzipBySource> GzipBaseline(const data::HeldOutSet& documents, const data::Tokenizer& tokenizer,
                                          int threads);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_EVAL_GZIP_BASELINE_H_
