// One model, evaluated on several threads at a time: many small forward passes, each on one thread, so that the bits of
// each do not depend on how many there are.
#ifndef MILLRACE_TRAINER_EVAL_PARALLEL_INFERENCE_H_
#define MILLRACE_TRAINER_EVAL_PARALLEL_INFERENCE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "trainer/eval/load_model.h"
#include "trainer/model/model.h"

namespace millrace::trainer {

class ParallelInference {
 public:
  // `model` outlives this. Each thread that is in use has activations of its own; the weights are shared.
  ParallelInference(const LoadedModel& model, int threads);

  const ModelConfig& config() const { return model_.config; }
  int threads() const { return threads_; }

  // Calls body(i, inference) once for each i in [0, count), as ParallelFor does. Kernels of `inference` run on the
  // thread that calls them. Not to be called from two threads at a time.
  void ForEach(int64_t count, const std::function<void(int64_t, Inference&)>& body);

 private:
  std::unique_ptr<Inference> Take();
  void GiveBack(std::unique_ptr<Inference> inference);

  const LoadedModel& model_;
  const int threads_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Inference>> idle_;
};

// A leaf to be filled in: positions from 0 in each sequence, ids 0, no targets.
Leaf NewLeaf(int64_t sequences, int64_t length);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_EVAL_PARALLEL_INFERENCE_H_
