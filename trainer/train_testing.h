// A small training run in a temporary folder, for the tests of the `train` stage.
#ifndef MILLRACE_TRAINER_TRAIN_TESTING_H_
#define MILLRACE_TRAINER_TRAIN_TESTING_H_

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "pipelines/protocol/stage.pb.h"
#include "pipelines/schema/train.pb.h"

namespace millrace::trainer {

// Inputs that all runs share: shards, held-out documents and a tokenizer below `folder`/in.
class TrainInputs {
 public:
  explicit TrainInputs(const std::string& folder);

  const std::string& folder() const { return folder_; }
  // 12 steps of 6 sequences of 16 predictions, a checkpoint every 4 steps. Change it before a run.
  Train& train() { return train_; }
  Reproducibility& reproducibility() { return reproducibility_; }
  // Creates `run_folder`/out; inputs are named by absolute paths.
  StageRequest NewRequest(const std::string& run_folder) const;

 private:
  const std::string folder_;
  Train train_;
  Reproducibility reproducibility_;
};

// Takes published checkpoints away, as the executor does: out/checkpoint/step-X becomes taken/step-X.
class CheckpointTaker {
 public:
  explicit CheckpointTaker(std::string run_folder);
  ~CheckpointTaker();

 private:
  void TakeAll();

  const std::string run_folder_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

// "step-000004" -> SHA-256 over its files' names and bytes; and "hugging_face", if it was written.
std::map<std::string, std::string> DigestsOf(const std::string& run_folder);

// The values of a metric by step, from an events file.
std::map<int64_t, double> Curve(const std::string& events_path, const std::string& name);
std::vector<StageEvent> ReadEvents(const std::string& events_path);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_TRAIN_TESTING_H_
