// The program of the `evaluate` stage.
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/evaluate.pb.h"
#include "trainer/eval/evaluate.h"
#include "trainer/model/numerics.h"

int main(int, char** argv) {
  millrace::trainer::EnsureNumericsEnvironment(argv);
  return millrace::StageMain<millrace::Evaluate>(millrace::trainer::EvaluateStage);
}
