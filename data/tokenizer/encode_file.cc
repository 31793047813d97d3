// A block of whole lines is cut into chunks, each chunk is parsed and encoded by one thread, and the results are
// written in order.
#include "data/tokenizer/encode_file.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/status_macros.h"
#include "data/corpus/byte_source.h"
#include "data/tokenizer/encoder_pool.h"

namespace millrace::data {
namespace {

static_assert(std::endian::native == std::endian::little, "ids are written as they are in memory");

constexpr size_t kBlockBytes = 8 << 20;
constexpr size_t kChunkBytes = 128 << 10;

struct Line {
  absl::string_view json;  // followed by SIMDJSON_PADDING readable bytes
  int64_t number = 0;
};

// Blocks of whole lines.
class LineReader {
 public:
  explicit LineReader(std::unique_ptr<ByteSource> source) : source_(std::move(source)) {}

  // The next lines, valid until the next call; false at the end. A last line may lack its line break.
  absl::StatusOr<bool> NextBlock(std::vector<Line>& lines) {
    lines.clear();
    while (lines.empty()) {
      std::memmove(buffer_.data(), buffer_.data() + used_, filled_ - used_);
      filled_ -= used_;
      used_ = 0;
      size_t searched = 0;
      while (!at_end_ &&
             (filled_ < kBlockBytes || std::memchr(&buffer_[searched], '\n', filled_ - searched) == nullptr)) {
        searched = filled_ < kBlockBytes ? 0 : filled_;
        if (buffer_.size() < filled_ + kBlockBytes + simdjson::SIMDJSON_PADDING)
          buffer_.resize(std::max(buffer_.size() * 2, kBlockBytes * 2 + simdjson::SIMDJSON_PADDING));
        ASSIGN_OR_RETURN(const size_t read, source_->Read(&buffer_[filled_], kBlockBytes));
        filled_ += read;
        at_end_ = read == 0;
      }
      if (filled_ == 0) return false;
      TakeLines(lines);
    }
    return true;
  }

 private:
  void TakeLines(std::vector<Line>& lines) {
    while (used_ < filled_) {
      const char* const begin = &buffer_[used_];
      const void* const found = std::memchr(begin, '\n', filled_ - used_);
      if (found == nullptr && !at_end_) return;
      const size_t length = found == nullptr ? filled_ - used_ : static_cast<const char*>(found) - begin;
      used_ += length + (found != nullptr);
      ++number_;
      const absl::string_view json = absl::StripAsciiWhitespace(absl::string_view(begin, length));
      if (!json.empty()) lines.push_back({json, number_});
    }
  }

  std::unique_ptr<ByteSource> source_;
  std::string buffer_;
  size_t used_ = 0;
  size_t filled_ = 0;
  int64_t number_ = 0;
  bool at_end_ = false;
};

// The field `text` of a line (the last one, where there are several), valid until the parser's next document.
absl::StatusOr<absl::string_view> TextOf(simdjson::ondemand::parser& parser, const Line& line) {
  const simdjson::padded_string_view json(line.json.data(), line.json.size(),
                                          line.json.size() + simdjson::SIMDJSON_PADDING);
  simdjson::ondemand::document document;
  simdjson::ondemand::object object;
  simdjson::error_code error = parser.iterate(json).get(document);
  if (!error) error = document.get_object().get(object);
  bool found = false;
  std::string_view text;
  if (!error) {
    for (auto field : object) {
      std::string_view key;
      if ((error = field.unescaped_key().get(key))) break;
      if (key != "text") continue;
      if (const auto wrong = field.value().get_string().get(text))
        return absl::InvalidArgumentError(absl::StrCat("field \"text\": ", simdjson::error_message(wrong)));
      found = true;
    }
  }
  const char* rest;  // behind the object there is nothing
  if (error || document.current_location().get(rest) != simdjson::OUT_OF_BOUNDS) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a JSON object", error ? ": " : "", error ? simdjson::error_message(error) : ""));
  }
  if (!found) return absl::InvalidArgumentError("it has no field \"text\"");
  return absl::string_view(text.data(), text.size());
}

struct Chunk {
  size_t first_line = 0;
  size_t last_line = 0;  // not included
  std::vector<uint32_t> ids;
  std::vector<uint32_t> counts;  // ids of each document
  int64_t text_bytes = 0;
  absl::Status status;
};

std::vector<Chunk> CutIntoChunks(const std::vector<Line>& lines) {
  std::vector<Chunk> chunks;
  size_t bytes = kChunkBytes;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (bytes >= kChunkBytes) {
      chunks.push_back({.first_line = i});
      bytes = 0;
    }
    bytes += lines[i].json.size();
    chunks.back().last_line = i + 1;
  }
  return chunks;
}

void EncodeChunk(const std::vector<Line>& lines, const std::string& input, Encoder& encoder, Chunk& chunk) {
  simdjson::ondemand::parser parser;
  for (size_t i = chunk.first_line; i < chunk.last_line; ++i) {
    const absl::StatusOr<absl::string_view> text = TextOf(parser, lines[i]);
    if (!text.ok()) {
      chunk.status = Annotate(text.status(), absl::StrCat(input, ":", lines[i].number));
      return;
    }
    const absl::Span<const uint32_t> ids = encoder.Encode(*text, SpecialTokens::kRecognised);
    chunk.ids.insert(chunk.ids.end(), ids.begin(), ids.end());
    chunk.counts.push_back(ids.size());
    chunk.text_bytes += text->size();
  }
}

template <typename T>
absl::string_view BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace

absl::StatusOr<EncodeTotals> EncodeJsonLines(const Tokenizer& tokenizer, const std::string& input,
                                             const std::string& output_dir, int threads) {
  ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, ByteSource::Open(input));
  RETURN_IF_ERROR(CreateDirectories(output_dir));
  ASSIGN_OR_RETURN(FileWriter ids_file, FileWriter::Create(JoinPath(output_dir, "ids.u32")));
  ASSIGN_OR_RETURN(FileWriter offsets_file, FileWriter::Create(JoinPath(output_dir, "offs.u64")));
  EncodeTotals totals;
  offsets_file.Append(BytesOf(std::vector<uint64_t>{0}));

  LineReader reader(std::move(source));
  EncoderPool pool(tokenizer);
  std::vector<Line> lines;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, reader.NextBlock(lines));
    if (!more) break;
    std::vector<Chunk> chunks = CutIntoChunks(lines);
    ParallelFor(threads, chunks.size(), [&](int64_t i) {
      std::unique_ptr<Encoder> encoder = pool.Take();
      EncodeChunk(lines, input, *encoder, chunks[i]);
      pool.GiveBack(std::move(encoder));
    });
    for (const Chunk& chunk : chunks) {
      RETURN_IF_ERROR(chunk.status);
      ids_file.Append(BytesOf(chunk.ids));
      std::vector<uint64_t> ends;
      for (const uint32_t count : chunk.counts) ends.push_back(totals.ids += count);
      offsets_file.Append(BytesOf(ends));
      totals.documents += chunk.counts.size();
      totals.text_bytes += chunk.text_bytes;
    }
  }
  RETURN_IF_ERROR(ids_file.Close());
  RETURN_IF_ERROR(offsets_file.Close());
  return totals;
}

}  // namespace millrace::data
