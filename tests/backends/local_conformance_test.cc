// Stages as processes of this machine.
#include "base/file.h"
#include "executor/backends/local.h"
#include "tests/backends/conformance.h"

namespace millrace {
namespace {

class LocalBed : public BackendBed {
 public:
  ~LocalBed() override { RemoveTree(folder_).IgnoreError(); }
  absl::StatusOr<std::unique_ptr<Backend>> Make() override { return std::make_unique<LocalBackend>(); }
  std::string folder() const override { return folder_; }

 private:
  const std::string folder_ = *MakeTempDirectory("local_bed");
};

}  // namespace

std::unique_ptr<BackendBed> MakeBed() { return std::make_unique<LocalBed>(); }

}  // namespace millrace
