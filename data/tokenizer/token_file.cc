// The header of documents.bin is written last: a folder whose writer died has a zero header and is refused.
#include "data/tokenizer/token_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace millrace::data {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian and mapped as they are");

constexpr absl::string_view kMagic = "MRTOKENS";
constexpr uint32_t kVersion = 1;
constexpr uint32_t kNoEos = 0xFFFFFFFF;
constexpr uint32_t kHeldOut = 1;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t record_bytes;
  uint64_t documents;
  uint64_t ids;
  uint64_t text_bytes;
  uint32_t sources;
  uint32_t vocab_size;
  uint32_t eos_id;
  uint32_t zero[3];
};
static_assert(sizeof(Header) == 64);

struct Record {
  uint64_t first_id;
  uint32_t source;
  uint32_t flags;
  uint64_t text_bytes;
  uint8_t text_sha256[32];
};
static_assert(sizeof(Record) == 56);

std::string IdsPath(const std::string& folder) { return JoinPath(folder, "ids.u32"); }
std::string DocumentsPath(const std::string& folder) { return JoinPath(folder, "documents.bin"); }

Record RecordAt(absl::string_view documents, int64_t index) {
  Record record;
  std::memcpy(&record, documents.data() + sizeof(Header) + index * sizeof(Record), sizeof(Record));
  return record;
}

absl::Status DamagedError(const std::string& path, absl::string_view why) {
  return absl::DataLossError(
      absl::StrCat(path, ": not a whole token file\n  why: ", why, "\n  fix: run the `tokenize` stage again"));
}

absl::StatusOr<TokenFileInfo> InfoFromHeader(const std::string& path, absl::string_view bytes, absl::string_view ids) {
  Header header;
  if (bytes.size() < sizeof(header)) return DamagedError(path, "it is shorter than its header");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (absl::string_view(header.magic, sizeof(header.magic)) != kMagic)
    return DamagedError(path, "it does not begin with \"MRTOKENS\"");
  if (header.version != kVersion)
    return DamagedError(path, absl::StrCat("version ", header.version, ", expected ", kVersion));
  if (header.record_bytes != sizeof(Record))
    return DamagedError(path, absl::StrCat("records of ", header.record_bytes, " bytes, expected ", sizeof(Record)));
  if ((bytes.size() - sizeof(header)) % sizeof(Record) != 0 ||
      (bytes.size() - sizeof(header)) / sizeof(Record) != header.documents) {
    return DamagedError(
        path, absl::StrCat("it has ", bytes.size(), " bytes, which is not ", header.documents, " documents' worth"));
  }
  if (ids.size() % sizeof(uint32_t) != 0 || ids.size() / sizeof(uint32_t) != header.ids) {
    return DamagedError(path, absl::StrCat("ids.u32 has ", ids.size(), " bytes, which is not ", header.ids, " ids"));
  }
  return TokenFileInfo{
      .documents = static_cast<int64_t>(header.documents),
      .ids = static_cast<int64_t>(header.ids),
      .text_bytes = static_cast<int64_t>(header.text_bytes),
      .sources = header.sources,
      .vocab_size = header.vocab_size,
      .eos_id = header.eos_id == kNoEos ? std::nullopt : std::optional<uint32_t>(header.eos_id),
  };
}

absl::Status CheckRecords(const std::string& path, absl::string_view bytes, const TokenFileInfo& info) {
  uint64_t first_id = 0;
  for (int64_t i = 0; i < info.documents; ++i) {
    const Record record = RecordAt(bytes, i);
    if ((i == 0 && record.first_id != 0) || record.first_id < first_id || record.first_id > info.ids) {
      return DamagedError(path, absl::StrCat("document ", i, " begins at id ", record.first_id,
                                             ", which is not between ", first_id, " and ", info.ids));
    }
    if (record.source >= info.sources) {
      return DamagedError(
          path, absl::StrCat("document ", i, " is of source ", record.source, ", but there are ", info.sources));
    }
    if ((record.flags & ~kHeldOut) != 0)
      return DamagedError(path, absl::StrCat("document ", i, " has unknown flags ", record.flags));
    first_id = record.first_id;
  }
  return absl::OkStatus();
}

absl::Status OverwriteStart(const std::string& path, const void* bytes, size_t size) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", path);
  const ssize_t written = ::pwrite(fd, bytes, size, 0);
  const int error = errno;
  ::close(fd);
  if (written < 0) return ErrnoError(error, "write", path);
  if (written != static_cast<ssize_t>(size)) return ErrnoError(ENOSPC, "write", path);
  return absl::OkStatus();
}

}  // namespace

struct TokenFile::Descriptor {
  int fd;
};

void TokenFile::CloseDescriptor::operator()(Descriptor* descriptor) const {
  ::close(descriptor->fd);
  delete descriptor;
}

absl::StatusOr<TokenFile> TokenFile::Open(const std::string& folder) {
  TokenFile file;
  file.ids_path_ = IdsPath(folder);
  ASSIGN_OR_RETURN(file.ids_, MappedFile::Open(file.ids_path_));
  const int fd = ::open(file.ids_path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", file.ids_path_);
  file.ids_file_.reset(new Descriptor{fd});
  ASSIGN_OR_RETURN(file.documents_, MappedFile::Open(DocumentsPath(folder)));
  const std::string path = DocumentsPath(folder);
  ASSIGN_OR_RETURN(file.info_, InfoFromHeader(path, file.documents_.data(), file.ids_.data()));
  RETURN_IF_ERROR(CheckRecords(path, file.documents_.data(), file.info_));
  return file;
}

absl::Span<const uint32_t> TokenFile::ids() const {
  return {reinterpret_cast<const uint32_t*>(ids_.data().data()), static_cast<size_t>(info_.ids)};
}

absl::Status TokenFile::ReadIds(int64_t index, int64_t first, int64_t count, std::vector<uint32_t>& ids) const {
  MILLRACE_CHECK(first >= 0 && count >= 0 && first + count <= static_cast<int64_t>(document(index).ids.size()));
  ids.resize(count);
  char* const out = reinterpret_cast<char*>(ids.data());
  const size_t size = count * sizeof(uint32_t);
  const off_t offset = (document(index).ids.data() - this->ids().data() + first) * sizeof(uint32_t);
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::pread(ids_file_->fd, out + done, size - done, offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read", ids_path_);
    if (n == 0) return DamagedError(ids_path_, "it became shorter while it was read");
    done += n;
  }
  return absl::OkStatus();
}

TokenDocument TokenFile::document(int64_t index) const {
  MILLRACE_CHECK(index >= 0 && index < info_.documents);
  const Record record = RecordAt(documents_.data(), index);
  const uint64_t end = index + 1 < info_.documents ? RecordAt(documents_.data(), index + 1).first_id : info_.ids;
  TokenDocument document;
  document.ids = ids().subspan(record.first_id, end - record.first_id);
  document.source = record.source;
  document.held_out = (record.flags & kHeldOut) != 0;
  document.text_bytes = record.text_bytes;
  std::memcpy(document.text_sha256.data(), record.text_sha256, sizeof(record.text_sha256));
  return document;
}

absl::StatusOr<TokenFileWriter> TokenFileWriter::Create(const std::string& folder, const TokenFileInfo& info) {
  ASSIGN_OR_RETURN(FileWriter ids, FileWriter::Create(IdsPath(folder)));
  ASSIGN_OR_RETURN(FileWriter documents, FileWriter::Create(DocumentsPath(folder)));
  documents.Append(std::string(sizeof(Header), '\0'));
  TokenFileInfo counted = info;
  counted.documents = counted.ids = counted.text_bytes = 0;
  return TokenFileWriter(folder, std::move(ids), std::move(documents), counted);
}

void TokenFileWriter::Append(const TokenDocument& document) {
  MILLRACE_CHECK(document.source < info_.sources);
  Record record = {};
  record.first_id = info_.ids;
  record.source = document.source;
  record.flags = document.held_out ? kHeldOut : 0;
  record.text_bytes = document.text_bytes;
  std::memcpy(record.text_sha256, document.text_sha256.data(), sizeof(record.text_sha256));
  documents_.Append({reinterpret_cast<const char*>(&record), sizeof(record)});
  ids_.Append({reinterpret_cast<const char*>(document.ids.data()), document.ids.size() * sizeof(uint32_t)});
  info_.documents += 1;
  info_.ids += document.ids.size();
  info_.text_bytes += document.text_bytes;
}

absl::Status TokenFileWriter::Close() {
  RETURN_IF_ERROR(ids_.Close());
  RETURN_IF_ERROR(documents_.Close());
  Header header = {};
  std::memcpy(header.magic, kMagic.data(), kMagic.size());
  header.version = kVersion;
  header.record_bytes = sizeof(Record);
  header.documents = info_.documents;
  header.ids = info_.ids;
  header.text_bytes = info_.text_bytes;
  header.sources = info_.sources;
  header.vocab_size = info_.vocab_size;
  header.eos_id = info_.eos_id.value_or(kNoEos);
  RETURN_IF_ERROR(OverwriteStart(DocumentsPath(folder_), &header, sizeof(header)));

  nlohmann::ordered_json manifest = {
      {"documents", info_.documents},   {"ids", info_.ids},
      {"text_bytes", info_.text_bytes}, {"sources", info_.sources},
      {"vocab_size", info_.vocab_size}, {"eos_id", nullptr},
  };
  if (info_.eos_id.has_value()) manifest["eos_id"] = *info_.eos_id;
  return WriteFile(JoinPath(folder_, "manifest.json"), manifest.dump(2) + "\n");
}

}  // namespace millrace::data
