// A file of JSON lines to a file of ids.
#ifndef MILLRACE_DATA_TOKENIZER_ENCODE_FILE_H_
#define MILLRACE_DATA_TOKENIZER_ENCODE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"

namespace millrace::data {

struct EncodeTotals {
  int64_t documents = 0;
  int64_t text_bytes = 0;
  int64_t ids = 0;
};

// Encodes the field `text` of each line of `input` (.gz and .zst are read as what they hold; blank lines are passed
// over), special tokens recognised, and writes below `output_dir`, which is made if it is not there:
//
//   ids.u32   the ids of all documents one after the other, 4 bytes each, little-endian
//   offs.u64  where each document's ids begin, and one more where the last one's end; counted in ids, 8 bytes each
//
// Both are the same for any number of threads; neither is there after an error. Memory: some 8 MiB and as much again
// for the ids, or the longest line. InvalidArgument, with file and line, for a line that is no JSON object with a text
// `text` or is longer than 512 MiB.
absl::StatusOr<EncodeTotals> EncodeJsonLines(const Tokenizer& tokenizer, const std::string& input,
                                             const std::string& output_dir, int threads);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_ENCODE_FILE_H_
