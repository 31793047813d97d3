#include "data/corpus/raw_document.h"

#include <simdjson.h>

#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "base/status_macros.h"

namespace millrace::data {
namespace {

constexpr size_t kBatchBytes = 4 << 20;
constexpr size_t kReadBytes = 1 << 20;
constexpr absl::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

void RawReader::AddLines(const std::string& buffer, size_t begin, size_t end, std::vector<Span>& spans) {
  while (begin < end) {
    const void* newline = std::memchr(buffer.data() + begin, '\n', end - begin);
    size_t line_end = newline == nullptr ? end : static_cast<const char*>(newline) - buffer.data();
    const size_t next = line_end + 1;
    if (line_end > begin && buffer[line_end - 1] == '\r') --line_end;
    ++line_;
    const absl::string_view line = absl::string_view(buffer).substr(begin, line_end - begin);
    if (line.size() > max_document_bytes_) {
      spans.push_back({file_, line_, begin, begin, true});
    } else if (line.find_first_not_of(" \t\r") != absl::string_view::npos) {
      spans.push_back({file_, line_, begin, line_end, false});
    }
    begin = next;
  }
}

void RawReader::GiveUpIfTooLong(std::string& buffer, size_t begin, std::vector<Span>& spans) {
  if (buffer.size() - begin <= max_document_bytes_ + kByteOrderMark.size()) return;
  spans.push_back({file_, files_[file_].is_jsonl ? ++line_ : 0, begin, begin, true});
  buffer.resize(begin);
  giving_up_ = true;
}

absl::StatusOr<bool> RawReader::NextBatch(RawBatch& batch) {
  std::string& buffer = batch.buffer;
  batch.items.clear();
  buffer = std::exchange(rest_, std::string());
  std::vector<Span> spans;
  size_t begin = 0;                 // of what is in no span yet
  size_t searched = buffer.size();  // no line ends in [begin, searched)
  while (spans.empty() || buffer.size() < kBatchBytes) {
    if (file_ == files_.size()) break;
    if (source_ == nullptr) {
      ASSIGN_OR_RETURN(source_, ByteSource::Open(files_[file_].path));
      line_ = 0;
    }
    const size_t old_size = buffer.size();
    buffer.resize(old_size + kReadBytes);
    absl::StatusOr<size_t> read = source_->Read(buffer.data() + old_size, kReadBytes);
    RETURN_IF_ERROR(read.status());
    buffer.resize(old_size + *read);
    const bool is_jsonl = files_[file_].is_jsonl;
    if (*read > 0) {
      if (giving_up_) {
        const size_t newline = is_jsonl ? buffer.find('\n', old_size) : std::string::npos;
        giving_up_ = newline == std::string::npos;
        buffer.erase(old_size, giving_up_ ? *read : newline + 1 - old_size);
        if (giving_up_) continue;
      }
      if (!is_jsonl) {
        GiveUpIfTooLong(buffer, begin, spans);
        continue;
      }
      if (buffer.size() < kBatchBytes) continue;
      // Enough: up to the last line end; the rest is for the next batch.
      const size_t newline = absl::string_view(buffer).substr(searched).rfind('\n');
      if (newline == absl::string_view::npos) {
        GiveUpIfTooLong(buffer, begin, spans);
        searched = buffer.size();
        continue;
      }
      const size_t end = searched + newline + 1;
      if (line_ == 0 && absl::StartsWith(absl::string_view(buffer).substr(begin), kByteOrderMark)) begin += 3;
      AddLines(buffer, begin, end, spans);
      rest_.assign(buffer, end, std::string::npos);
      buffer.resize(end);
      begin = searched = end;
      if (!spans.empty()) break;
      buffer = std::exchange(rest_, std::string());
      begin = 0;
      searched = buffer.size();
      continue;
    }
    // The end of the file.
    if (line_ == 0 && absl::StartsWith(absl::string_view(buffer).substr(begin), kByteOrderMark)) begin += 3;
    if (is_jsonl) {
      AddLines(buffer, begin, buffer.size(), spans);
    } else if (!giving_up_) {
      const bool too_long = buffer.size() - begin > max_document_bytes_;
      spans.push_back({file_, 0, begin, too_long ? begin : buffer.size(), too_long});
    }
    giving_up_ = false;
    begin = searched = buffer.size();
    done_file_bytes_ += source_->file_bytes_read();
    source_ = nullptr;
    ++file_;
  }
  // There is enough without the document that has only begun.
  if (begin < buffer.size()) {
    rest_.assign(buffer, begin, std::string::npos);
    buffer.resize(begin);
  }
  buffer.resize(buffer.size() + simdjson::SIMDJSON_PADDING);
  for (const Span& span : spans) {
    batch.items.push_back(
        {span.file, span.line, span.too_long, absl::string_view(buffer).substr(span.begin, span.end - span.begin)});
  }
  return !batch.items.empty();
}

}  // namespace millrace::data
