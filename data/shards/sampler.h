// Which samples a rank gets in an epoch: PyTorch's torch.utils.data.DistributedSampler, index for index.
#ifndef MILLRACE_DATA_SHARDS_SAMPLER_H_
#define MILLRACE_DATA_SHARDS_SAMPLER_H_

#include <cstdint>
#include <vector>

namespace millrace::data {

// Defaults are PyTorch's.
struct SamplerOptions {
  int64_t dataset_len = 0;
  int64_t world_size = 1;
  bool shuffle = true;
  uint64_t seed = 0;
  // false: the order is padded from its front until each rank has the same number; true: its tail is cut instead.
  bool drop_last = false;
};

class DistributedSampler {
 public:
  // world_size at least 1.
  explicit DistributedSampler(const SamplerOptions& options);

  int64_t num_samples() const { return num_samples_; }                       // of each rank
  int64_t total_size() const { return num_samples_ * options_.world_size; }  // of all ranks

  // What `rank` sees in `epoch`, in order: each world_size-th of the epoch's order, from `rank` on. With `shuffle` the
  // order is torch.randperm(dataset_len) seeded with seed + epoch. Time and memory O(dataset_len).
  std::vector<int64_t> Indices(int64_t rank, int64_t epoch) const;

 private:
  SamplerOptions options_;
  int64_t num_samples_ = 0;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_SAMPLER_H_
