#include "trainer/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace millrace::trainer {
namespace {

constexpr char kFormat[] = "millrace.checkpoint";
constexpr int kVersion = 1;
constexpr int64_t kElementBytes = 4;

using Json = nlohmann::ordered_json;

absl::Status Broken(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

// Throws nlohmann's exceptions where a field is missing or of another type.
absl::StatusOr<CheckpointIndex> ParseIndex(const std::string& path, const Json& json) {
  if (json.at("format").get<std::string>() != kFormat) return Broken(path, "not the index of a checkpoint");
  const int version = json.at("version").get<int>();
  if (version != kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": checkpoint version ", version,
                                                      "; this program reads version ", kVersion,
                                                      "\n  fix: use the program that wrote it"));
  }
  CheckpointIndex index;
  index.step = json.at("step").get<int64_t>();
  index.range_bytes = json.at("range_bytes").get<int64_t>();
  index.total_bytes = json.at("total_bytes").get<int64_t>();
  index.model_json = json.at("model").dump();
  if (index.range_bytes < kElementBytes || index.range_bytes % kElementBytes != 0 || index.total_bytes < 0)
    return Broken(path, "range_bytes or total_bytes is impossible");
  int64_t offset = 0;
  for (const Json& item : json.at("tensors")) {
    CheckpointTensor tensor;
    tensor.name = item.at("name").get<std::string>();
    tensor.shape = item.at("shape").get<std::vector<int64_t>>();
    tensor.offset_bytes = item.at("offset").get<int64_t>();
    if (const auto dtype = item.at("dtype").get<std::string>(); dtype != "float32") {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": tensor \"", tensor.name, "\" is ", dtype, "; this program reads float32"));
    }
    tensor.elements = 1;
    for (const int64_t size : tensor.shape) {
      if (size < 0 || (size > 0 && tensor.elements > index.total_bytes / size))
        return Broken(path, absl::StrCat("the shape of tensor \"", tensor.name, "\" is impossible"));
      tensor.elements *= size;
    }
    if (tensor.offset_bytes != offset)
      return Broken(path,
                    absl::StrCat("tensor \"", tensor.name, "\" is at ", tensor.offset_bytes, ", not at ", offset));
    offset += tensor.elements * kElementBytes;
    if (!index.tensors.empty() && index.tensors.back().name >= tensor.name)
      return Broken(path, absl::StrCat("tensor \"", tensor.name, "\" is not in the order of names"));
    index.tensors.push_back(std::move(tensor));
  }
  if (offset != index.total_bytes)
    return Broken(path, absl::StrCat("the tensors have ", offset, " bytes, total_bytes says ", index.total_bytes));
  return index;
}

absl::StatusOr<CheckpointIndex> ReadIndex(const std::string& folder) {
  const std::string path = JoinPath(folder, "checkpoint.json");
  if (!FileExists(path)) {
    return absl::NotFoundError(absl::StrCat(folder, ": not a checkpoint\n  why: it has no checkpoint.json"));
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Broken(path, "not JSON");
  try {
    return ParseIndex(path, json);
  } catch (const Json::exception& error) {
    return Broken(path, error.what());
  }
}

}  // namespace

int64_t CheckpointIndex::bytes_of_range(int64_t range) const {
  return std::min(range_bytes, total_bytes - range * range_bytes);
}

absl::StatusOr<CheckpointIndex> NewCheckpointIndex(int64_t step, std::string model_json,
                                                   std::vector<CheckpointTensor> tensors, int64_t range_bytes) {
  if (!Json::parse(model_json, nullptr, false).is_object())
    return absl::InvalidArgumentError("the model of a checkpoint must be a JSON object");
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  CheckpointIndex index;
  index.step = step;
  index.model_json = std::move(model_json);
  index.range_bytes = range_bytes;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (i > 0 && tensors[i].name == tensors[i - 1].name)
      return absl::InvalidArgumentError(absl::StrCat("two tensors are named \"", tensors[i].name, "\""));
    tensors[i].offset_bytes = index.total_bytes;
    tensors[i].elements = 1;
    for (const int64_t size : tensors[i].shape) tensors[i].elements *= size;
    index.total_bytes += tensors[i].elements * kElementBytes;
  }
  index.tensors = std::move(tensors);
  return index;
}

std::string ToJson(const CheckpointIndex& index) {
  Json json;
  json["format"] = kFormat;
  json["version"] = kVersion;
  json["step"] = index.step;
  json["range_bytes"] = index.range_bytes;
  json["total_bytes"] = index.total_bytes;
  json["model"] = Json::parse(index.model_json);
  json["tensors"] = Json::array();
  std::string text = json.dump(1);
  // One tensor a line, which json.dump cannot do.
  text.resize(text.rfind("[]"));
  text += "[";
  for (size_t i = 0; i < index.tensors.size(); ++i) {
    Json item;
    item["name"] = index.tensors[i].name;
    item["dtype"] = "float32";
    item["shape"] = index.tensors[i].shape;
    item["offset"] = index.tensors[i].offset_bytes;
    absl::StrAppend(&text, i == 0 ? "\n  " : ",\n  ", item.dump());
  }
  return absl::StrCat(text, "\n ]\n}\n");
}

std::string RangeFileName(int64_t range) { return absl::StrFormat("range-%05d.bin", range); }
std::string CheckpointName(int64_t step) { return absl::StrFormat("step-%06d", step); }

absl::Status WriteRange(const std::string& folder, const CheckpointIndex& index, int64_t range,
                        const std::function<absl::Span<const float>(size_t)>& tensor) {
  const int64_t begin = range * index.range_bytes, end = begin + index.bytes_of_range(range);
  ASSIGN_OR_RETURN(FileWriter writer, FileWriter::Create(JoinPath(folder, RangeFileName(range))));
  for (size_t i = 0; i < index.tensors.size(); ++i) {
    const int64_t first = index.tensors[i].offset_bytes, last = first + index.tensors[i].elements * kElementBytes;
    const int64_t from = std::max(first, begin), to = std::min(last, end);
    if (from >= to) continue;
    const char* bytes = reinterpret_cast<const char*>(tensor(i).data());
    writer.Append({bytes + (from - first), static_cast<size_t>(to - from)});
  }
  return writer.Close();
}

absl::Status WriteIndex(const std::string& folder, const CheckpointIndex& index) {
  return WriteFile(JoinPath(folder, "checkpoint.json"), ToJson(index));
}

absl::StatusOr<CheckpointReader> CheckpointReader::Open(const std::string& folder) {
  CheckpointReader reader;
  reader.folder_ = folder;
  ASSIGN_OR_RETURN(reader.index_, ReadIndex(folder));
  for (int64_t range = 0; range < reader.index_.num_ranges(); ++range) {
    const std::string path = JoinPath(folder, RangeFileName(range));
    ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
    const int64_t expected = reader.index_.bytes_of_range(range), found = file.data().size();
    if (found != expected) return Broken(path, absl::StrCat("has ", found, " bytes, the index says ", expected));
    reader.ranges_.push_back(std::move(file));
  }
  return reader;
}

const CheckpointTensor* CheckpointReader::Find(absl::string_view name) const {
  const auto it = std::lower_bound(index_.tensors.begin(), index_.tensors.end(), name,
                                   [](const CheckpointTensor& t, absl::string_view n) { return t.name < n; });
  return it != index_.tensors.end() && it->name == name ? &*it : nullptr;
}

absl::Status CheckpointReader::Read(absl::string_view name, int64_t begin, absl::Span<float> out) const {
  const CheckpointTensor* tensor = Find(name);
  if (tensor == nullptr) {
    return absl::NotFoundError(absl::StrCat(folder_, ": the checkpoint has no tensor \"", name,
                                            "\"\n  why: it is of another model, or this program keeps other states"));
  }
  const int64_t count = out.size();
  if (begin < 0 || begin + count > tensor->elements) {
    return absl::OutOfRangeError(absl::StrCat(folder_, ": tensor \"", name, "\" has ", tensor->elements,
                                              " elements; asked for ", begin, " to ", begin + count));
  }
  int64_t offset = tensor->offset_bytes + begin * kElementBytes;
  char* to = reinterpret_cast<char*>(out.data());
  for (int64_t left = count * kElementBytes; left > 0;) {
    const int64_t range = offset / index_.range_bytes, within = offset % index_.range_bytes;
    const int64_t bytes = std::min(left, index_.bytes_of_range(range) - within);
    std::memcpy(to, ranges_[range].data().data() + within, bytes);
    to += bytes;
    offset += bytes;
    left -= bytes;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> CheckpointReader::Read(absl::string_view name) const {
  const CheckpointTensor* tensor = Find(name);
  std::vector<float> values(tensor == nullptr ? 0 : tensor->elements);
  RETURN_IF_ERROR(Read(name, 0, absl::MakeSpan(values)));
  return values;
}

}  // namespace millrace::trainer
