// A batch of lines is cut into chunks, each chunk is parsed and encoded by one thread, and the results are
// written in order.
#include "data/tokenizer/encode_file.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/status_macros.h"
#include "data/corpus/raw_document.h"
#include "data/tokenizer/encoder_pool.h"

namespace millrace::data {
namespace {

static_assert(std::endian::native == std::endian::little, "ids are written as they are in memory");

constexpr size_t kChunkBytes = 128 << 10;

// The field `text` of a line (the last one, where there are several), valid until the parser's next document.
absl::StatusOr<absl::string_view> TextOf(simdjson::ondemand::parser& parser, const RawBatch::Item& line) {
  if (line.too_long) return absl::InvalidArgumentError("the line is longer than 512 MiB");
  const simdjson::padded_string_view json(line.bytes.data(), line.bytes.size(),
                                          line.bytes.size() + simdjson::SIMDJSON_PADDING);
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
  if (!found) return absl::InvalidArgumentError("it has no field \"text\"\n  fix: {\"text\": \"...\"} on each line");
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

std::vector<Chunk> CutIntoChunks(const std::vector<RawBatch::Item>& lines) {
  std::vector<Chunk> chunks;
  size_t bytes = kChunkBytes;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (bytes >= kChunkBytes) {
      chunks.push_back({.first_line = i});
      bytes = 0;
    }
    bytes += lines[i].bytes.size();
    chunks.back().last_line = i + 1;
  }
  return chunks;
}

void EncodeChunk(const std::vector<RawBatch::Item>& lines, const std::string& input, Encoder& encoder, Chunk& chunk) {
  simdjson::ondemand::parser parser;
  for (size_t i = chunk.first_line; i < chunk.last_line; ++i) {
    const absl::StatusOr<absl::string_view> text = TextOf(parser, lines[i]);
    if (!text.ok()) {
      chunk.status = Annotate(text.status(), absl::StrCat(input, ":", lines[i].line));
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

absl::StatusOr<EncodeTotals> EncodeTo(FileWriter& ids_file, FileWriter& offsets_file, const Tokenizer& tokenizer,
                                      const std::string& input, int threads) {
  EncodeTotals totals;
  offsets_file.Append(BytesOf(std::vector<uint64_t>{0}));
  RawReader reader({{.name = input, .path = input, .is_jsonl = true}});
  EncoderPool pool(tokenizer);
  RawBatch batch;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, reader.NextBatch(batch));
    if (!more) break;
    std::vector<Chunk> chunks = CutIntoChunks(batch.items);
    ParallelFor(threads, chunks.size(), [&](int64_t i) {
      std::unique_ptr<Encoder> encoder = pool.Take();
      EncodeChunk(batch.items, input, *encoder, chunks[i]);
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

}  // namespace

absl::StatusOr<EncodeTotals> EncodeJsonLines(const Tokenizer& tokenizer, const std::string& input,
                                             const std::string& output_dir, int threads) {
  if (IsDirectory(input))
    return absl::InvalidArgumentError(absl::StrCat(input, ": a folder, not a file\n  fix: one file of JSON lines"));
  RETURN_IF_ERROR(FileSize(input).status());
  RETURN_IF_ERROR(CreateDirectories(output_dir));
  const std::string ids_path = JoinPath(output_dir, "ids.u32"), offsets_path = JoinPath(output_dir, "offs.u64");
  ASSIGN_OR_RETURN(FileWriter ids_file, FileWriter::Create(ids_path));
  ASSIGN_OR_RETURN(FileWriter offsets_file, FileWriter::Create(offsets_path));
  absl::StatusOr<EncodeTotals> totals = EncodeTo(ids_file, offsets_file, tokenizer, input, threads);
  if (!totals.ok()) {
    for (const std::string& path : {ids_path, offsets_path}) (void)RemoveTree(path);
  }
  return totals;
}

}  // namespace millrace::data
