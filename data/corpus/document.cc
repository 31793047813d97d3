// Lines are found with memchr in blocks of 4 MiB and parsed with simdjson's on-demand interface, which does not change
// its input and reads up to SIMDJSON_PADDING bytes behind it.
#include "data/corpus/document.h"

#include <fcntl.h>
#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace millrace::data {
namespace {

constexpr int64_t kFileBytes = 64 << 20;
constexpr size_t kBlockBytes = 4 << 20;
constexpr absl::string_view kManifest = "manifest.json";

std::string FileName(int index) { return absl::StrFormat("documents-%05d.jsonl", index); }

// What must be escaped in a JSON string.
constexpr auto kEscaped = [] {
  std::array<bool, 256> escaped = {};
  for (int c = 0; c < 0x20; ++c) escaped[c] = true;
  escaped['"'] = escaped['\\'] = true;
  return escaped;
}();

struct Manifest {
  int64_t documents = 0;
  int64_t bytes = 0;
  int64_t sources = 0;
};

absl::StatusOr<Manifest> ReadManifest(const std::string& folder) {
  const std::string path = JoinPath(folder, kManifest);
  absl::StatusOr<std::string> json = ReadFile(path);
  if (!json.ok()) {
    return Annotate(json.status(), absl::StrCat(folder, " holds no documents (data/corpus/document.h)"));
  }
  simdjson::padded_string padded(*json);
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  Manifest manifest;
  simdjson::error_code error = parser.iterate(padded).get(document);
  if (!error) error = document["documents"].get_int64().get(manifest.documents);
  if (!error) error = document["bytes"].get_int64().get(manifest.bytes);
  if (!error) error = document["sources"].get_int64().get(manifest.sources);
  if (error || manifest.documents < 0 || manifest.bytes < 0 || manifest.sources < 0 || manifest.sources > INT32_MAX) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not the manifest of a folder of documents\n  why: ",
                                                   error ? simdjson::error_message(error) : "a number is out of range",
                                                   "\n  fix: {\"documents\": N, \"bytes\": B, \"sources\": S}"));
  }
  return manifest;
}

void Assign(std::string_view value, std::string& out) { out.assign(value.data(), value.size()); }

absl::Status NoDocument(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "not a document\n  why: ", why, "\n  fix: a line is {\"id\": \"...\", \"text\": \"...\", \"source\": 0}"));
}

}  // namespace

void AppendJsonString(absl::string_view text, std::string& out) {
  out.reserve(out.size() + text.size() + text.size() / 16 + 2);
  out += '"';
  const char* begin = text.data();
  const char* const end = begin + text.size();
  for (const char* p = begin; p != end; ++p) {
    const unsigned char c = *p;
    if (!kEscaped[c]) [[likely]]
      continue;
    out.append(begin, p - begin);
    begin = p + 1;
    out += '\\';
    switch (c) {
      case '"':
      case '\\':
        out += c;
        break;
      case '\n':
        out += 'n';
        break;
      case '\t':
        out += 't';
        break;
      case '\r':
        out += 'r';
        break;
      case '\b':
        out += 'b';
        break;
      case '\f':
        out += 'f';
        break;
      default:
        out += "u00";
        out += "0123456789abcdef"[c >> 4];
        out += "0123456789abcdef"[c & 15];
    }
  }
  out.append(begin, end - begin);
  out += '"';
}

void AppendDocumentLine(const Document& document, std::string& out) {
  out += "{\"id\":";
  AppendJsonString(document.id, out);
  out += ",\"text\":";
  AppendJsonString(document.text, out);
  if (document.source != 0) absl::StrAppend(&out, ",\"source\":", document.source);
  if (!document.language.empty()) {
    out += ",\"language\":";
    AppendJsonString(document.language, out);
  }
  if (!document.licence.empty()) {
    out += ",\"licence\":";
    AppendJsonString(document.licence, out);
  }
  if (document.held_out) out += ",\"held_out\":true";
  out += "}\n";
}

// Where sequential reading stands.
struct DocumentReader::Cursor {
  ~Cursor() { Close(); }
  void Close() {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }

  int file = 0;
  int fd = -1;
  uint64_t offset = 0;    // in the file, of the first byte of `rest`
  int64_t lines = 0;      // of the file, before `rest`
  std::string rest;       // read, but not the whole line yet
  int64_t documents = 0;  // over all files
  int64_t in_folder = 0;  // of the current folder
  DocumentBatch batch;    // of Next
  size_t next_in_batch = 0;
};

DocumentReader::DocumentReader() : cursor_(std::make_unique<Cursor>()) {}
DocumentReader::DocumentReader(DocumentReader&&) noexcept = default;
DocumentReader& DocumentReader::operator=(DocumentReader&&) noexcept = default;
DocumentReader::~DocumentReader() = default;

absl::StatusOr<DocumentReader> DocumentReader::Open(const std::vector<std::string>& folders) {
  DocumentReader reader;
  for (const std::string& path : folders) {
    ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(path));
    const int folder = reader.folders_.size();
    reader.folders_.push_back({path, manifest.documents, reader.sources_, static_cast<int32_t>(manifest.sources)});
    reader.documents_ += manifest.documents;
    reader.text_bytes_ += manifest.bytes;
    reader.sources_ += manifest.sources;
    for (int i = 0;; ++i) {
      std::string file = JoinPath(path, FileName(i));
      if (!FileExists(file)) break;
      reader.files_.push_back({std::move(file), folder});
    }
  }
  return reader;
}

void DocumentReader::Rewind() { cursor_ = std::make_unique<Cursor>(); }

absl::StatusOr<bool> DocumentReader::NextBatch(DocumentBatch& batch) {
  Cursor& at = *cursor_;
  batch.lines.clear();
  batch.buffer.clear();
  while (true) {
    if (at.fd < 0) {
      if (at.file == files_.size()) break;
      at.fd = ::open(files_[at.file].path.c_str(), O_RDONLY | O_CLOEXEC);
      if (at.fd < 0) return ErrnoError(errno, "open", files_[at.file].path);
    }
    // A block behind what is left of the last one, until there is a whole line or the file ends.
    std::string& buffer = batch.buffer;
    buffer.swap(at.rest);
    at.rest.clear();
    size_t end = std::string::npos;  // behind the last newline
    bool end_of_file = false;
    while (end == std::string::npos && !end_of_file) {
      const size_t old_size = buffer.size();
      buffer.resize(old_size + kBlockBytes);
      size_t size = old_size;
      while (size < buffer.size()) {
        const ssize_t n = ::read(at.fd, buffer.data() + size, buffer.size() - size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ErrnoError(errno, "read", files_[at.file].path);
        if (n == 0) {
          end_of_file = true;
          break;
        }
        size += n;
      }
      buffer.resize(size);
      if (const size_t newline = absl::string_view(buffer).substr(old_size).rfind('\n');
          newline != absl::string_view::npos) {
        end = old_size + newline + 1;
      }
    }
    if (end_of_file) end = buffer.size();
    at.rest.assign(buffer, end, std::string::npos);
    buffer.resize(end + simdjson::SIMDJSON_PADDING);

    batch.first_document = at.documents;
    batch.first_line = at.lines + 1;
    for (size_t begin = 0; begin < end;) {
      const void* newline = std::memchr(buffer.data() + begin, '\n', end - begin);
      const size_t line_end = newline == nullptr ? end : static_cast<const char*>(newline) - buffer.data();
      if (line_end - begin > UINT32_MAX)
        return absl::OutOfRangeError(absl::StrCat(files_[at.file].path, ": a line of more than 4 GiB"));
      batch.lines.push_back(
          {absl::string_view(buffer.data() + begin, line_end - begin),
           {at.offset + begin, static_cast<uint32_t>(line_end - begin), static_cast<uint32_t>(at.file)}});
      begin = line_end + 1;
    }
    const int64_t count = batch.lines.size();
    at.offset += end;
    at.lines += count;
    at.documents += count;
    at.in_folder += count;
    if (end_of_file) {
      const Folder& folder = folders_[files_[at.file].folder];
      at.Close();
      ++at.file;
      at.offset = at.lines = 0;
      at.rest.clear();
      if (at.file == files_.size() || files_[at.file].folder != files_[at.file - 1].folder) {
        if (at.in_folder != folder.documents) {
          return absl::DataLossError(
              absl::StrCat(folder.path, " has ", at.in_folder, " documents, but its manifest says ", folder.documents));
        }
        at.in_folder = 0;
      }
    }
    if (count > 0) return true;
    buffer.clear();
  }
  if (at.documents != documents_) {
    return absl::DataLossError(
        absl::StrCat("the inputs have ", at.documents, " documents, but their manifests say ", documents_));
  }
  return false;
}

absl::StatusOr<bool> DocumentReader::Next(Document& document) {
  Cursor& at = *cursor_;
  if (at.next_in_batch == at.batch.lines.size()) {
    ASSIGN_OR_RETURN(const bool more, NextBatch(at.batch));
    at.next_in_batch = 0;
    if (!more) return false;
  }
  RETURN_IF_ERROR(Parse(at.batch, at.next_in_batch++, document));
  return true;
}

absl::Status DocumentReader::Parse(const DocumentBatch& batch, size_t index, Document& document) const {
  const DocumentBatch::Line& line = batch.lines[index];
  const File& file = files_[line.position.file];
  const absl::Status status = ParseLine(line.json, file, document);
  if (status.ok()) return status;
  return Annotate(status, absl::StrCat(file.path, ":", batch.first_line + index));
}

absl::Status DocumentReader::ParseLine(absl::string_view json, const File& file, Document& document) const {
  thread_local simdjson::ondemand::parser parser;
  document.language.clear();
  document.licence.clear();
  document.source = 0;
  document.held_out = false;
  bool has_id = false, has_text = false;
  int64_t source = 0;

  simdjson::ondemand::document parsed;
  simdjson::ondemand::object object;
  simdjson::error_code error =
      parser.iterate(json.data(), json.size(), json.size() + simdjson::SIMDJSON_PADDING).get(parsed);
  if (!error) error = parsed.get_object().get(object);
  if (error) return NoDocument(simdjson::error_message(error));
  for (auto field : object) {
    std::string_view key, value;
    if ((error = field.unescaped_key().get(key))) return NoDocument(simdjson::error_message(error));
    const auto get_string = [&](std::string& out) {
      if (!(error = field.value().get_string().get(value))) Assign(value, out);
    };
    if (key == "id") {
      get_string(document.id);
      has_id = true;
    } else if (key == "text") {
      get_string(document.text);
      has_text = true;
    } else if (key == "source") {
      error = field.value().get_int64().get(source);
    } else if (key == "language") {
      get_string(document.language);
    } else if (key == "licence") {
      get_string(document.licence);
    } else if (key == "held_out") {
      error = field.value().get_bool().get(document.held_out);
    }
    if (error) return NoDocument(absl::StrCat("field \"", std::string(key), "\": ", simdjson::error_message(error)));
  }
  const char* rest;
  if (parsed.current_location().get(rest) != simdjson::OUT_OF_BOUNDS) return NoDocument("something follows the object");
  if (!has_id) return NoDocument("it has no \"id\"");
  if (!has_text) return NoDocument("it has no \"text\"");
  const Folder& folder = folders_[file.folder];
  if (source < 0 || source >= folder.sources)
    return NoDocument(absl::StrCat("source ", source, ", but the manifest has ", folder.sources, " sources"));
  document.source = folder.source_offset + source;
  return absl::OkStatus();
}

absl::StatusOr<Document> DocumentReader::ReadAt(const DocumentPosition& position) const {
  thread_local std::string buffer;
  const File& file = files_[position.file];
  const int fd = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", file.path);
  buffer.resize(position.length + simdjson::SIMDJSON_PADDING);
  size_t size = 0;
  while (size < position.length) {
    const ssize_t n = ::pread(fd, buffer.data() + size, position.length - size, position.offset + size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int read_error = errno;
      ::close(fd);
      if (n < 0) return ErrnoError(read_error, "read", file.path);
      return absl::DataLossError(absl::StrCat(file.path, " became shorter while it was read"));
    }
    size += n;
  }
  ::close(fd);
  Document document;
  RETURN_IF_ERROR(Annotate(ParseLine(absl::string_view(buffer.data(), position.length), file, document),
                           absl::StrCat(file.path, ", byte ", position.offset)));
  return document;
}

absl::Status DocumentWriter::Write(const Document& document) {
  line_.clear();
  AppendDocumentLine(document, line_);
  return WriteLine(line_, document.text.size());
}

absl::Status DocumentWriter::WriteLine(absl::string_view line, int64_t text_bytes) {
  if (file_.has_value() && file_->size_bytes() >= kFileBytes) {
    RETURN_IF_ERROR(file_->Close());
    file_.reset();
  }
  if (!file_.has_value()) {
    ASSIGN_OR_RETURN(FileWriter file, FileWriter::Create(JoinPath(folder_, FileName(files_++))));
    file_.emplace(std::move(file));
  }
  file_->Append(line);
  ++documents_;
  text_bytes_ += text_bytes;
  return absl::OkStatus();
}

absl::Status DocumentWriter::Close(int32_t sources) {
  if (file_.has_value()) RETURN_IF_ERROR(file_->Close());
  return WriteFile(
      JoinPath(folder_, kManifest),
      absl::StrCat("{\"documents\": ", documents_, ", \"bytes\": ", text_bytes_, ", \"sources\": ", sources, "}\n"));
}

}  // namespace millrace::data
