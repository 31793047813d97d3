// A run with all its results as one file: a tar archive (tar.h), in this order.
//
//   millrace.txt               "millrace.run.v1", then "run ID" and "pipeline NAME"
//   blobs/<64 hex digits>      listings of trees and their files
//   entries/<key>              serialized ActionEntry, with its key record
//   chains/<chain key>/<n>     serialized SegmentEntry, of the chains whose states are results of the run
//   runs/<run id>/...          the run's folder: its event log and the stages' logs
//
// Taking one in checks each blob against its name, and puts entries after the blobs: what breaks off leaves nothing
// hollow.
#ifndef MILLRACE_EXECUTOR_ENGINE_BUNDLE_FILES_H_
#define MILLRACE_EXECUTOR_ENGINE_BUNDLE_FILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "executor/engine/bundle.h"
#include "executor/engine/decide.h"

namespace millrace {

struct RunResultKey {
  std::string stage, kind;
  Digest key;
};

// Of the stages that a run had or made. NotFound: there is no such run.
absl::StatusOr<std::vector<RunResultKey>> ResultsOfRun(const Home& home, const std::string& run_id,
                                                       std::string* pipeline = nullptr);

// NotFound: no such run, or nothing is left of its results. ResourceExhausted: the disk is full. Nothing is at `path`
// unless all went well.
absl::StatusOr<BundleReport> ExportRun(Store& store, const std::string& run_id, const std::string& path);
// InvalidArgument: not such a file. DataLoss: it is damaged. The run's folder is put if there is none of that name.
absl::StatusOr<BundleReport> ImportRun(Store& store, const std::string& path);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_BUNDLE_FILES_H_
