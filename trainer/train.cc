// The program of the `train` stage.
#include <memory>

#include "base/status_macros.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/train.pb.h"
#include "trainer/model/numerics.h"
#include "trainer/train_stage.h"

int main(int, char** argv) {
  using namespace millrace;
  trainer::EnsureNumericsEnvironment(argv);
  return StageMain<Train>([](Stage& stage, const Train& parameters) -> absl::Status {
    ASSIGN_OR_RETURN(const std::unique_ptr<trainer::Comm> comm, trainer::JoinGang(stage));
    return trainer::RunTrain(stage, parameters, *comm, &Stage::Interrupted);
  });
}
