// Stages as jobs of a real Slurm cluster.
#include "base/file.h"
#include "executor/backends/slurm.h"
#include "tests/backends/conformance.h"
#include "tests/backends/slurm_bed.h"

namespace millrace {
namespace {

class SlurmBed : public BackendBed {
 public:
  SlurmBed() {
    skip_reason_ = SlurmCluster::SkipReason();
    if (!skip_reason_.empty()) return;
    cluster_ = std::make_unique<SlurmCluster>("mu", "10.78.1");
    if (!cluster_->status().ok()) skip_reason_ = std::string(cluster_->status().message());
    folder_ = cluster_->folder();
    patience = absl::Seconds(120);
    short_gangs = 100;
    submitters = 25;
  }

  std::string skip_reason() const override { return skip_reason_; }
  absl::StatusOr<std::unique_ptr<Backend>> Make() override { return SlurmBackend::Create(cluster_->Options()); }
  std::string folder() const override { return folder_; }
  std::function<void()> Inject(Fault fault) override {
    if (fault != Fault::kNodeLost) return nullptr;
    const std::string node = cluster_->NodesInUse();
    cluster_->Bed("lose " + node);
    return [this, node] { cluster_->Bed("heal " + node); };
  }

 private:
  std::string skip_reason_, folder_;
  std::unique_ptr<SlurmCluster> cluster_;
};

}  // namespace

std::unique_ptr<BackendBed> MakeBed() { return std::make_unique<SlurmBed>(); }

}  // namespace millrace
