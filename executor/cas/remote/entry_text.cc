#include "executor/cas/remote/entry_text.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "executor/cas/remote/action_result.pb.h"

namespace millrace {
namespace {

std::string Encode(reapi::ActionResult result, const google::protobuf::Message& message) {
  result.mutable_execution_metadata()->set_worker("millrace");
  result.mutable_execution_metadata()->add_auxiliary_metadata()->PackFrom(message);
  return result.SerializeAsString();
}

absl::Status Decode(absl::string_view bytes, google::protobuf::Message& message) {
  reapi::ActionResult result;
  if (!result.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return absl::DataLossError("an entry is not an ActionResult");
  for (const google::protobuf::Any& any : result.execution_metadata().auxiliary_metadata()) {
    if (any.UnpackTo(&message)) return absl::OkStatus();
  }
  return absl::DataLossError("an entry was not made by Millrace");
}

void AddFile(reapi::ActionResult& result, std::string path, const Digest& digest, int64_t size_bytes, bool executable) {
  reapi::OutputFile& file = *result.add_output_files();
  file.set_path(std::move(path));
  file.mutable_digest()->set_hash(digest.Hex());
  file.mutable_digest()->set_size_bytes(size_bytes);
  file.set_is_executable(executable);
}

}  // namespace

std::string EncodeEntry(const ActionEntry& entry, const std::map<Digest, Tree>& trees) {
  reapi::ActionResult result;
  for (const OutputTree& output : entry.output()) {
    const absl::StatusOr<Digest> digest = Digest::Parse(output.digest());
    if (!digest.ok()) continue;
    const Tree& tree = trees.at(*digest);
    AddFile(result, absl::StrCat("tree/", output.name()), *digest, static_cast<int64_t>(tree.Canonical().size()),
            false);
    for (const TreeFile& file : tree.files) {
      AddFile(result, absl::StrCat("files/", output.name(), "/", file.path), file.digest, file.size_bytes,
              file.executable);
    }
  }
  return Encode(std::move(result), entry);
}

absl::StatusOr<ActionEntry> DecodeEntry(absl::string_view bytes) {
  ActionEntry entry;
  RETURN_IF_ERROR(Decode(bytes, entry));
  for (const OutputTree& output : entry.output()) {
    if (!Digest::Parse(output.digest()).ok()) return absl::DataLossError("an entry has a digest that is none");
  }
  return entry;
}

std::string SegmentIdentity(const SegmentEntry& segment) {
  return absl::StrCat(segment.parent(), " ", segment.first(), " ", segment.last(), " ", segment.data(), " ",
                      segment.steps_digest(), segment.data_of_steps());
}

Digest ChainManifestKey(const Digest& chain_key) {
  return Digest::Of(absl::StrCat("millrace.chain.v1\n", chain_key.Hex()));
}

std::string EncodeChain(const ChainManifest& manifest) { return Encode({}, manifest); }

absl::StatusOr<ChainManifest> DecodeChain(absl::string_view bytes, const Digest& chain_key) {
  ChainManifest manifest;
  RETURN_IF_ERROR(Decode(bytes, manifest));
  if (manifest.chain_key() != chain_key.Hex())
    return absl::DataLossError("a chain's manifest is that of another chain");
  for (const SegmentEntry& segment : manifest.segment()) {
    if (!Digest::Parse(segment.state().digest()).ok())
      return absl::DataLossError("a segment has a digest that is none");
  }
  return manifest;
}

}  // namespace millrace
