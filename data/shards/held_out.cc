#include "data/shards/held_out.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace millrace::data {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian and mapped as they are");

constexpr absl::string_view kMagic = "MRHELDOT";
constexpr uint32_t kVersion = 1;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t record_bytes;
  uint64_t documents;
  uint64_t ids;
  uint32_t vocab_size;
  uint32_t eos_id;
  uint64_t zero[3];
};
static_assert(sizeof(Header) == 64);

struct Record {
  uint64_t first_id;
  uint32_t ids;
  uint32_t source;
  uint64_t text_bytes;
  uint8_t text_sha256[32];
};
static_assert(sizeof(Record) == 56);

Record RecordAt(absl::string_view bytes, int64_t index) {
  Record record;
  std::memcpy(&record, bytes.data() + sizeof(Header) + index * sizeof(Record), sizeof(record));
  return record;
}

absl::Status DamagedError(const std::string& path, absl::string_view why) {
  return absl::DataLossError(absl::StrCat(path, ": not a whole file of held-out documents\n  why: ", why,
                                          "\n  fix: run the `pack` stage again"));
}

absl::Status CheckFile(const std::string& path, absl::string_view bytes, int64_t documents) {
  Header header;
  if (bytes.size() < sizeof(header)) return DamagedError(path, "it is shorter than its header");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (absl::string_view(header.magic, 8) != kMagic) return DamagedError(path, "it does not begin with \"MRHELDOT\"");
  if (header.version != kVersion || header.record_bytes != sizeof(Record)) {
    return DamagedError(path, absl::StrCat("version ", header.version, " with records of ", header.record_bytes,
                                           " bytes, expected version ", kVersion, " with ", sizeof(Record)));
  }
  const uint64_t limit = bytes.size();
  const bool plausible = header.documents <= limit / sizeof(Record) && header.ids <= limit / sizeof(uint32_t);
  if (!plausible || header.documents != documents ||
      sizeof(Header) + header.documents * sizeof(Record) + header.ids * sizeof(uint32_t) != limit) {
    return DamagedError(
        path, absl::StrCat("it has ", limit, " bytes, which is not ", header.documents, " documents of ", header.ids,
                           " ids in all; manifest.json says ", documents));
  }
  uint64_t ids = 0;
  for (uint64_t i = 0; i < header.documents; ++i) {
    const Record record = RecordAt(bytes, i);
    if (record.first_id != ids || record.ids > header.ids - ids)
      return DamagedError(path, absl::StrCat("the ids of document ", i, " are out of bounds"));
    ids += record.ids;
  }
  const auto* first = reinterpret_cast<const uint32_t*>(bytes.data() + sizeof(Header) + documents * sizeof(Record));
  if (const uint32_t* largest = std::max_element(first, first + ids); ids > 0 && *largest >= header.vocab_size)
    return DamagedError(path, absl::StrCat("id ", *largest, " is not below the vocabulary's ", header.vocab_size));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HeldOutSet> HeldOutSet::Open(const std::string& folder) {
  HeldOutSet set;
  ASSIGN_OR_RETURN(set.manifest_, ReadShardManifest(folder, ShardManifest::Kind::kHeldOut));
  int64_t documents = 0;
  for (const ShardManifest::File& entry : set.manifest_.files) {
    const std::string path = JoinPath(folder, entry.name);
    ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
    RETURN_IF_ERROR(CheckFile(path, file.data(), entry.entries));
    set.first_documents_.push_back(documents);
    documents += entry.entries;
    set.files_.push_back(std::move(file));
  }
  if (documents != set.manifest_.documents) {
    return DamagedError(folder, absl::StrCat("the files have ", documents, " documents, but manifest.json says ",
                                             set.manifest_.documents));
  }
  return set;
}

HeldOutDocument HeldOutSet::document(int64_t index) const {
  MILLRACE_CHECK(index >= 0 && index < num_documents());
  const auto after = std::upper_bound(first_documents_.begin(), first_documents_.end(), index);
  const int64_t file = after - first_documents_.begin() - 1;
  const absl::string_view bytes = files_[file].data();
  const Record record = RecordAt(bytes, index - first_documents_[file]);
  const auto* ids =
      reinterpret_cast<const uint32_t*>(bytes.data() + sizeof(Header) + manifest_.files[file].entries * sizeof(Record));
  HeldOutDocument document;
  document.ids = {ids + record.first_id, record.ids};
  document.source = record.source;
  document.text_bytes = record.text_bytes;
  std::memcpy(document.text_sha256.data(), record.text_sha256, sizeof(record.text_sha256));
  return document;
}

HeldOutWriter::HeldOutWriter(std::string folder, ShardManifest info, int64_t shard_size_bytes)
    : folder_(std::move(folder)), manifest_(std::move(info)), shard_size_bytes_(shard_size_bytes) {
  manifest_.kind = ShardManifest::Kind::kHeldOut;
}

absl::Status HeldOutWriter::Append(const HeldOutDocument& document) {
  const int64_t bytes = sizeof(Record) + document.ids.size() * sizeof(uint32_t);
  if (!pending_.empty() && pending_bytes_ + bytes > shard_size_bytes_) RETURN_IF_ERROR(Flush());
  pending_.push_back(
      {static_cast<uint32_t>(document.ids.size()), document.source, document.text_bytes, document.text_sha256});
  pending_ids_.insert(pending_ids_.end(), document.ids.begin(), document.ids.end());
  pending_bytes_ += bytes;
  if (manifest_.sources.empty() || manifest_.sources.back().source != document.source)
    manifest_.sources.push_back({.source = document.source});
  ShardManifest::Source& source = manifest_.sources.back();
  source.documents += 1;
  source.tokens += document.ids.size();
  source.text_bytes += document.text_bytes;
  manifest_.documents += 1;
  manifest_.tokens += document.ids.size();
  manifest_.text_bytes += document.text_bytes;
  return absl::OkStatus();
}

absl::Status HeldOutWriter::Flush() {
  const std::string name = absl::StrFormat("held-out-%05d.bin", manifest_.files.size());
  ASSIGN_OR_RETURN(FileWriter file, FileWriter::Create(JoinPath(folder_, name)));
  Sha256 hash;
  int64_t size_bytes = 0;
  const auto write = [&](const void* data, size_t size) {
    const absl::string_view bytes(static_cast<const char*>(data), size);
    file.Append(bytes);
    hash.Update(bytes);
    size_bytes += size;
  };
  Header header = {};
  std::memcpy(header.magic, kMagic.data(), kMagic.size());
  header.version = kVersion;
  header.record_bytes = sizeof(Record);
  header.documents = pending_.size();
  header.ids = pending_ids_.size();
  header.vocab_size = manifest_.vocab_size;
  header.eos_id = manifest_.eos_id;
  write(&header, sizeof(header));
  uint64_t first_id = 0;
  for (const Pending& document : pending_) {
    Record record = {};
    record.first_id = first_id;
    record.ids = document.ids;
    record.source = document.source;
    record.text_bytes = document.text_bytes;
    std::memcpy(record.text_sha256, document.text_sha256.data(), sizeof(record.text_sha256));
    write(&record, sizeof(record));
    first_id += document.ids;
  }
  write(pending_ids_.data(), pending_ids_.size() * sizeof(uint32_t));
  RETURN_IF_ERROR(file.Close());
  manifest_.files.push_back({name, static_cast<int64_t>(pending_.size()), size_bytes, HexOf(hash.Finish())});
  pending_.clear();
  pending_ids_.clear();
  pending_bytes_ = 0;
  return absl::OkStatus();
}

absl::Status HeldOutWriter::Close() {
  if (!pending_.empty()) RETURN_IF_ERROR(Flush());
  return WriteFile(JoinPath(folder_, "manifest.json"), ToJson(manifest_));
}

std::vector<std::pair<int64_t, int64_t>> DocumentWindows(int64_t n, int64_t sequence_length) {
  std::vector<std::pair<int64_t, int64_t>> windows;
  for (int64_t first = 0; first < n + 1; first += sequence_length)
    windows.emplace_back(first, std::min(sequence_length, n + 1 - first));
  return windows;
}

std::vector<uint32_t> WindowIds(const HeldOutDocument& document, uint32_t eos_id, int64_t first_prediction,
                                int64_t predictions) {
  // Id i of "EOS t1..tn EOS".
  const int64_t n = document.ids.size();
  const auto id = [&](int64_t i) { return i == 0 || i == n + 1 ? eos_id : document.ids[i - 1]; };
  std::vector<uint32_t> ids(predictions + 1);
  for (int64_t i = 0; i <= predictions; ++i) ids[i] = id(first_prediction + i);
  return ids;
}

}  // namespace millrace::data
