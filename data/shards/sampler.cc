#include "data/shards/sampler.h"

#include <numeric>

#include "base/check.h"
#include "data/shards/randperm.h"

namespace millrace::data {

DistributedSampler::DistributedSampler(const SamplerOptions& options) : options_(options) {
  MILLRACE_CHECK(options.world_size >= 1 && options.dataset_len >= 0);
  const int64_t whole = options.dataset_len / options.world_size;
  const bool remainder = options.dataset_len % options.world_size != 0;
  num_samples_ = whole + (remainder && !options.drop_last ? 1 : 0);
}

std::vector<int64_t> DistributedSampler::Indices(int64_t rank, int64_t epoch) const {
  MILLRACE_CHECK(rank >= 0 && rank < options_.world_size);
  std::vector<int64_t> order;
  if (options_.shuffle) {
    order = Randperm(options_.dataset_len, options_.seed + epoch);
  } else {
    order.resize(options_.dataset_len);
    std::iota(order.begin(), order.end(), 0);
  }
  std::vector<int64_t> indices;
  indices.reserve(num_samples_);
  // Padding repeats the order from its front, as often as it takes.
  for (int64_t i = rank; i < total_size(); i += options_.world_size) indices.push_back(order[i % options_.dataset_len]);
  return indices;
}

}  // namespace millrace::data
