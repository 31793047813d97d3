// How entries and chains look on a cache: an ActionResult (action_result.proto), with ours inside.
//
//   an entry   /ac/{key}: `output_files` names the listing of each output's tree as "tree/OUTPUT" and its files as
//              "files/OUTPUT/PATH", so that a cache that checks or evicts by what an entry names does so for ours;
//              the ActionEntry is in execution_metadata.auxiliary_metadata, the worker is "millrace"
//   a chain    /ac/{SHA-256 of "millrace.chain.v1\n" and the chain's key in hex}: names no files (a state that was
//              evicted must not hide the others), holds a ChainManifest
#ifndef MILLRACE_EXECUTOR_CAS_REMOTE_ENTRY_TEXT_H_
#define MILLRACE_EXECUTOR_CAS_REMOTE_ENTRY_TEXT_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "executor/cas/digest.h"
#include "executor/cas/entry.pb.h"
#include "executor/cas/remote/chain_manifest.pb.h"
#include "executor/cas/tree.h"

namespace millrace {

// `trees`: by digest, of all of the entry's outputs.
std::string EncodeEntry(const ActionEntry& entry, const std::map<Digest, Tree>& trees);
// DataLoss: it is not an entry of ours. Whether it is that of a key is the caller's to check.
absl::StatusOr<ActionEntry> DecodeEntry(absl::string_view bytes);

// Equal for segments that say something of the same steps, with the same data.
std::string SegmentIdentity(const SegmentEntry& segment);

Digest ChainManifestKey(const Digest& chain_key);
std::string EncodeChain(const ChainManifest& manifest);
// DataLoss: it is not the manifest of this chain.
absl::StatusOr<ChainManifest> DecodeChain(absl::string_view bytes, const Digest& chain_key);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_REMOTE_ENTRY_TEXT_H_
