// The header of order.bin is written last: a file whose writer died has a zero header and is refused.
#include "data/shards/mixture.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace millrace::data {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is little-endian and mapped as it is");

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr absl::string_view kMagic = "MRMIXORD";
constexpr uint32_t kOrderVersion = 2;
constexpr uint32_t kManifestVersion = 1;
constexpr char kFormat[] = "millrace.mixture";
constexpr int kRowBits = 48;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t components;
  uint64_t positions;
  uint32_t sequence_length;
  uint32_t folders;
  uint64_t zero[4];
};
static_assert(sizeof(Header) == 64);

absl::Status DamagedError(const std::string& path, absl::string_view why) {
  return absl::DataLossError(
      absl::StrCat(path, ": not a whole mixture\n  why: ", why, "\n  fix: run the `mix` stage again"));
}

absl::StatusOr<MixtureManifest> ReadManifest(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto number = [](const Json& object, const char* name) {
    return object.is_object() && object.contains(name) && object[name].is_number();
  };
  if (!json.is_object() || !json.contains("format") || json["format"] != kFormat || !number(json, "version") ||
      json["version"] != kManifestVersion) {
    return DamagedError(path, absl::StrCat("it is not of format \"", kFormat, "\" version ", kManifestVersion));
  }
  if (!number(json, "sequence_length") || !number(json, "positions") || !json.contains("components") ||
      !json["components"].is_array()) {
    return DamagedError(path, "a field is missing");
  }
  MixtureManifest manifest;
  manifest.sequence_length = json["sequence_length"];
  manifest.positions = json["positions"];
  if (json.contains("when_exhausted") && json["when_exhausted"].is_string())
    manifest.when_exhausted = json["when_exhausted"];
  if (number(json, "ended_by")) manifest.ended_by = json["ended_by"];
  for (const Json& entry : json["components"]) {
    for (const char* name : {"shards", "weight", "max_epochs", "sequences", "positions"}) {
      if (!number(entry, name)) return DamagedError(path, absl::StrCat("components[].", name, " is missing"));
    }
    MixtureManifest::Component& component = manifest.components.emplace_back();
    component.shards = entry["shards"];
    if (number(entry, "source")) component.source = entry["source"];
    component.weight = entry["weight"];
    component.max_epochs = entry["max_epochs"];
    component.sequences = entry["sequences"];
    component.positions = entry["positions"];
  }
  if (manifest.ended_by.has_value() && *manifest.ended_by >= manifest.components.size())
    return DamagedError(path, "ended_by is not one of the components");
  return manifest;
}

}  // namespace

std::string ToJson(const MixtureManifest& m) {
  OrderedJson json;
  json["format"] = kFormat;
  json["version"] = kManifestVersion;
  json["sequence_length"] = m.sequence_length;
  json["positions"] = m.positions;
  json["when_exhausted"] = m.when_exhausted;
  json["ended_by"] = nullptr;
  if (m.ended_by.has_value()) json["ended_by"] = *m.ended_by;
  json["components"] = OrderedJson::array();
  for (const MixtureManifest::Component& component : m.components) {
    OrderedJson entry;
    entry["shards"] = component.shards;
    entry["source"] = nullptr;
    if (component.source.has_value()) entry["source"] = *component.source;
    entry["weight"] = component.weight;
    entry["max_epochs"] = component.max_epochs;
    entry["sequences"] = component.sequences;
    entry["positions"] = component.positions;
    json["components"].push_back(entry);
  }
  return json.dump(2) + "\n";
}

absl::StatusOr<Mixture> Mixture::Open(const std::string& folder) {
  Mixture mixture;
  const std::string path = JoinPath(folder, "order.bin");
  ASSIGN_OR_RETURN(mixture.order_, MappedFile::Open(path));
  ASSIGN_OR_RETURN(mixture.manifest_, ReadManifest(JoinPath(folder, "manifest.json")));
  const MixtureManifest& manifest = mixture.manifest_;
  const absl::string_view bytes = mixture.order_.data();
  Header header;
  if (bytes.size() < sizeof(header)) return DamagedError(path, "it is shorter than its header");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (absl::string_view(header.magic, 8) != kMagic || header.version != kOrderVersion)
    return DamagedError(path, absl::StrCat("it does not begin with \"", kMagic, "\" and version ", kOrderVersion));
  if (header.positions > bytes.size() / 8 || sizeof(Header) + header.positions * 8 != bytes.size() ||
      header.positions != manifest.positions || header.sequence_length != manifest.sequence_length ||
      header.components != manifest.components.size()) {
    return DamagedError(path, absl::StrCat("it has ", bytes.size(), " bytes and says ", header.positions,
                                           " positions of ", header.sequence_length, "; manifest.json says ",
                                           manifest.positions, " of ", manifest.sequence_length));
  }
  for (uint32_t i = 0; i < header.folders; ++i) {
    ASSIGN_OR_RETURN(ShardSet shards, ShardSet::Open(JoinPath(folder, absl::StrCat("shards/", i))));
    if (shards.sequence_length() != manifest.sequence_length)
      return DamagedError(folder, absl::StrCat("shards/", i, " has sequences of ", shards.sequence_length()));
    mixture.shards_.push_back(std::move(shards));
  }
  for (const MixtureManifest::Component& component : manifest.components) {
    if (component.shards >= mixture.shards_.size())
      return DamagedError(folder, absl::StrCat("shards/", component.shards, " is missing"));
  }
  return mixture;
}

SequenceRef Mixture::at(int64_t position) const {
  MILLRACE_CHECK(position >= 0 && position < num_positions());
  uint64_t entry;
  std::memcpy(&entry, order_.data().data() + sizeof(Header) + position * 8, 8);
  return {static_cast<uint32_t>(entry >> kRowBits), static_cast<int64_t>(entry & ((uint64_t{1} << kRowBits) - 1))};
}

absl::StatusOr<MixtureOrderWriter> MixtureOrderWriter::Create(const std::string& folder) {
  const std::string path = JoinPath(folder, "order.bin");
  ASSIGN_OR_RETURN(FileWriter file, FileWriter::Create(path));
  file.Append(std::string(sizeof(Header), '\0'));
  return MixtureOrderWriter(path, std::move(file));
}

void MixtureOrderWriter::Append(const SequenceRef& ref) {
  MILLRACE_CHECK(ref.folder <= 0xFFFF && ref.row >= 0 && ref.row >> kRowBits == 0);
  const uint64_t entry = uint64_t{ref.folder} << kRowBits | static_cast<uint64_t>(ref.row);
  file_.Append({reinterpret_cast<const char*>(&entry), sizeof(entry)});
  ++positions_;
}

absl::Status MixtureOrderWriter::Close(uint32_t components, uint32_t sequence_length, uint32_t folders) {
  RETURN_IF_ERROR(file_.Close());
  Header header = {};
  std::memcpy(header.magic, kMagic.data(), kMagic.size());
  header.version = kOrderVersion;
  header.components = components;
  header.positions = positions_;
  header.sequence_length = sequence_length;
  header.folders = folders;
  const int fd = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", path_);
  const ssize_t written = ::pwrite(fd, &header, sizeof(header), 0);
  const int error = written < 0 ? errno : ENOSPC;
  ::close(fd);
  return written == sizeof(header) ? absl::OkStatus() : ErrnoError(error, "write", path_);
}

}  // namespace millrace::data
