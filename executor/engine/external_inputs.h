// The user's files as inputs: their digest, the lock file they are held to, and whether they changed while a stage ran.
#ifndef MILLRACE_EXECUTOR_ENGINE_EXTERNAL_INPUTS_H_
#define MILLRACE_EXECUTOR_ENGINE_EXTERNAL_INPUTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "executor/cas/digest.h"
#include "executor/cas/file_memo.h"
#include "executor/cas/tree.h"
#include "executor/graph/resolved_pipeline.h"

namespace millrace {

struct DigestedInput {
  Digest digest;  // of `tree`
  Tree tree;      // relative paths and content; no exec bits: file systems disagree about them
  std::vector<FileStamp> stamps;
};

// FailedPrecondition: unresolved; NotFound and the like name the file.
absl::StatusOr<DigestedInput> DigestInput(const ExternalInput& input, FileMemo& memo, int threads);

// Makes `folder` (new) hold symbolic links to the files; or copies (reflinks where there are), for programs that may
// write to their inputs.
absl::Status LayOutInput(const ExternalInput& input, const std::string& folder, bool copy);

// Aborted, naming the first: a file is not what it was when it was digested.
absl::Status CheckUnchanged(const ExternalInput& input, const DigestedInput& digested);

// How the files differ from the lock file, a line each; empty: they agree, or there is no lock. InvalidArgument: the
// lock file cannot be read.
absl::StatusOr<std::vector<std::string>> CompareWithLock(const ExternalInput& input, const Tree& tree);

// A line "path size sha256" a file, by path. Written beside and renamed; left alone if it says so already.
absl::Status WriteLock(const ExternalInput& input, const Tree& tree);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_EXTERNAL_INPUTS_H_
