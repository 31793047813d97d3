#include "trainer/safetensors/safetensors.h"

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace millrace::trainer {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr int64_t kMaxHeaderBytes = 100'000'000;  // as the reference implementation
constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kI64};

absl::StatusOr<DType> ParseDType(absl::string_view name) {
  for (DType dtype : kDTypes) {
    if (name == DTypeName(dtype)) return dtype;
  }
  return absl::InvalidArgumentError(absl::StrCat("dtype \"", name, "\" is not read here (F32, BF16, F16, I64)"));
}

std::optional<int64_t> Natural(const json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const uint64_t number = value.get<uint64_t>();
  if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return static_cast<int64_t>(number);
}

struct Range {
  int64_t begin, end;
  std::string name;
};

// One entry of the header; `data` is the file's data section.
absl::StatusOr<StoredTensor> ParseEntry(const json& entry, absl::string_view data, Range& range) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
      !entry["shape"].is_array() || !entry.contains("data_offsets") || !entry["data_offsets"].is_array() ||
      entry["data_offsets"].size() != 2) {
    return absl::InvalidArgumentError("the entry needs dtype, shape and two data_offsets");
  }
  StoredTensor tensor;
  ASSIGN_OR_RETURN(tensor.dtype, ParseDType(entry["dtype"].get_ref<const std::string&>()));
  int64_t size_bytes = DTypeBytes(tensor.dtype);
  for (const json& value : entry["shape"]) {
    const std::optional<int64_t> size = Natural(value);
    if (!size.has_value() || __builtin_mul_overflow(size_bytes, *size, &size_bytes)) {
      return absl::InvalidArgumentError(absl::StrCat("shape ", entry["shape"].dump(), " is not a shape"));
    }
    tensor.shape.push_back(*size);
  }
  const std::optional<int64_t> begin = Natural(entry["data_offsets"][0]), end = Natural(entry["data_offsets"][1]);
  if (!begin.has_value() || !end.has_value() || *begin > *end || *end > static_cast<int64_t>(data.size())) {
    return absl::InvalidArgumentError(absl::StrCat("data_offsets ", entry["data_offsets"].dump(),
                                                   " are not within the file's ", data.size(), " bytes of data"));
  }
  if (*end - *begin != size_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("data_offsets ", entry["data_offsets"].dump(), " hold ",
                                                   *end - *begin, " bytes, its shape and dtype need ", size_bytes));
  }
  range.begin = *begin;
  range.end = *end;
  tensor.data = data.substr(*begin, size_bytes);
  return tensor;
}

float HalfToFloat(uint16_t half) { return _cvtsh_ss(half); }

float BFloatToFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

template <float (*Convert)(uint16_t)>
void ConvertAll(absl::string_view data, int64_t count, float* values) {
  for (int64_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, data.data() + 2 * i, 2);
    values[i] = Convert(bits);
  }
}

// The header's JSON with a list of duplicate keys, which nlohmann::json drops in silence.
json ParseHeader(absl::string_view text, std::string& duplicate) {
  std::set<std::string> names;
  const json::parser_callback_t check = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::key && depth == 1 && !names.insert(parsed.get<std::string>()).second) {
      duplicate = parsed.get<std::string>();
    }
    return true;
  };
  return json::parse(text.begin(), text.end(), check, /*allow_exceptions=*/false);
}

}  // namespace

absl::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kBF16:
      return "BF16";
    case DType::kF16:
      return "F16";
    case DType::kI64:
      return "I64";
  }
  return "";
}

int64_t DTypeBytes(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kBF16:
    case DType::kF16:
      return 2;
    case DType::kI64:
      return 8;
  }
  return 0;
}

int64_t StoredTensor::elements() const { return static_cast<int64_t>(data.size()) / DTypeBytes(dtype); }

absl::StatusOr<SafetensorsReader> SafetensorsReader::Open(const std::string& path) {
  SafetensorsReader reader;
  if (!IsDirectory(path)) {
    RETURN_IF_ERROR(reader.AddFile(path));
    return reader;
  }
  const std::string single = JoinPath(path, "model.safetensors");
  if (FileExists(single)) {
    RETURN_IF_ERROR(reader.AddFile(single));
    return reader;
  }
  const std::string index_path = JoinPath(path, "model.safetensors.index.json");
  if (!FileExists(index_path)) {
    return absl::NotFoundError(
        absl::StrCat(path, ": neither model.safetensors nor model.safetensors.index.json is in this folder"));
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(index_path));
  const json index = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(index_path, ": is not JSON with an object \"weight_map\""));
  }
  std::set<std::string> shards;
  for (const auto& [name, shard] : index["weight_map"].items()) {
    if (!shard.is_string() || shard.get_ref<const std::string&>().find('/') != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(index_path, ": the file of \"", name, "\" is not a file name"));
    }
    shards.insert(shard.get<std::string>());
  }
  for (const std::string& shard : shards) RETURN_IF_ERROR(reader.AddFile(JoinPath(path, shard)));
  for (const auto& [name, shard] : index["weight_map"].items()) {
    if (!reader.tensors_.contains(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat(index_path, ": tensor \"", name, "\" is not in ", shard.get<std::string>()));
    }
  }
  return reader;
}

absl::Status SafetensorsReader::AddFile(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::Open(path));
  files_.push_back(std::make_unique<MappedFile>(std::move(mapped)));
  const absl::string_view bytes = files_.back()->data();
  const auto error = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a safetensors file: ", what));
  };
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof(header_bytes)) return error("it is shorter than 8 bytes");
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - sizeof(header_bytes)) {
    return error(absl::StrCat("its header says it has ", header_bytes, " bytes, the file has ", bytes.size()));
  }
  std::string duplicate;
  const json header = ParseHeader(bytes.substr(sizeof(header_bytes), header_bytes), duplicate);
  if (!header.is_object()) return error("its header is not a JSON object");
  if (!duplicate.empty()) return error(absl::StrCat("tensor \"", duplicate, "\" is there twice"));
  const absl::string_view data = bytes.substr(sizeof(header_bytes) + header_bytes);
  std::vector<Range> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) return error("__metadata__ is not an object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) return error(absl::StrCat("__metadata__ \"", key, "\" is not a string"));
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    Range range{0, 0, name};
    absl::StatusOr<StoredTensor> tensor = ParseEntry(entry, data, range);
    if (!tensor.ok()) return error(absl::StrCat("tensor \"", name, "\": ", tensor.status().message()));
    if (!tensors_.emplace(name, *std::move(tensor)).second) {
      return error(absl::StrCat("tensor \"", name, "\" is in another file of this model too"));
    }
    ranges.push_back(std::move(range));
  }
  // The format has no gaps and no overlaps.
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  int64_t end = 0;
  for (const Range& range : ranges) {
    if (range.begin != end) {
      return error(absl::StrCat("the data of tensor \"", range.name, "\" begins at ", range.begin, ", not at ", end));
    }
    end = range.end;
  }
  if (end != static_cast<int64_t>(data.size())) {
    return error(absl::StrCat("its tensors have ", end, " bytes, the file has ", data.size(), " bytes of data"));
  }
  return absl::OkStatus();
}

absl::StatusOr<StoredTensor> SafetensorsReader::Get(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return absl::NotFoundError(absl::StrCat("no tensor is named \"", name, "\""));
  return found->second;
}

absl::Status SafetensorsReader::ReadFloats(const std::string& name, int64_t count, float* values) const {
  ASSIGN_OR_RETURN(const StoredTensor tensor, Get(name));
  if (tensor.elements() != count) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", name, "\" has ", tensor.elements(), " elements [",
                                                   absl::StrJoin(tensor.shape, ", "), "], expected ", count));
  }
  switch (tensor.dtype) {
    case DType::kF32:
      std::memcpy(values, tensor.data.data(), tensor.data.size());
      return absl::OkStatus();
    case DType::kBF16:
      ConvertAll<BFloatToFloat>(tensor.data, count, values);
      return absl::OkStatus();
    case DType::kF16:
      ConvertAll<HalfToFloat>(tensor.data, count, values);
      return absl::OkStatus();
    case DType::kI64:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat("tensor \"", name, "\" holds integers, not floating-point numbers"));
}

absl::Status SafetensorsReader::ReadInts(const std::string& name, int64_t count, int64_t* values) const {
  ASSIGN_OR_RETURN(const StoredTensor tensor, Get(name));
  if (tensor.dtype != DType::kI64 || tensor.elements() != count) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", name, "\" has ", tensor.elements(), " elements of ",
                                                   DTypeName(tensor.dtype), ", expected ", count, " of I64"));
  }
  std::memcpy(values, tensor.data.data(), tensor.data.size());
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsWriter> SafetensorsWriter::Create(const std::string& path, std::vector<Entry> entries,
                                                            const std::map<std::string, std::string>& metadata) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  json header = json::object();  // nlohmann::json keeps keys in byte order
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const Entry& entry : entries) {
    int64_t size_bytes = DTypeBytes(entry.dtype);
    for (int64_t size : entry.shape) size_bytes *= size;
    const int64_t end = offset + size_bytes;
    MILLRACE_CHECK(!header.contains(entry.name));
    header[entry.name] = {
        {"dtype", std::string(DTypeName(entry.dtype))}, {"shape", entry.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the data begins at a multiple of 8
  ASSIGN_OR_RETURN(FileWriter file, FileWriter::Create(path));
  const uint64_t header_bytes = text.size();
  file.Append(absl::string_view(reinterpret_cast<const char*>(&header_bytes), sizeof(header_bytes)));
  file.Append(text);
  SafetensorsWriter writer(std::move(file), std::move(entries));
  writer.Append("");  // passes over empty tensors
  return writer;
}

void SafetensorsWriter::Append(absl::string_view bytes) {
  file_.Append(bytes);
  bytes_of_next_ += static_cast<int64_t>(bytes.size());
  while (next_ < entries_.size()) {
    int64_t size_bytes = DTypeBytes(entries_[next_].dtype);
    for (int64_t size : entries_[next_].shape) size_bytes *= size;
    if (bytes_of_next_ < size_bytes) return;
    MILLRACE_CHECK(bytes_of_next_ == size_bytes || size_bytes == 0);
    bytes_of_next_ -= size_bytes;
    ++next_;
  }
  MILLRACE_CHECK(bytes_of_next_ == 0);
}

absl::Status SafetensorsWriter::Close() {
  if (next() != nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("tensor \"", next()->name, "\" was not written in full"));
  }
  return file_.Close();
}

}  // namespace millrace::trainer
