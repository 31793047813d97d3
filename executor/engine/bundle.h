// What a bundle held: a run with all its results as one file, for a machine that is on no network.
#ifndef MILLRACE_EXECUTOR_ENGINE_BUNDLE_H_
#define MILLRACE_EXECUTOR_ENGINE_BUNDLE_H_

#include <cstdint>
#include <string>

namespace millrace {

struct BundleReport {
  std::string run_id;
  std::string pipeline;
  int results = 0;
  int results_without_bytes = 0;  // known by digest alone: their bytes had been collected
  int64_t size_bytes = 0;         // of blobs
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_BUNDLE_H_
