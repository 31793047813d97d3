// Shards for tests: sequences that can be told apart.
#ifndef MILLRACE_DATA_SHARDS_TESTING_H_
#define MILLRACE_DATA_SHARDS_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "data/shards/manifest.h"

namespace millrace::data {

// A new SHARDS folder with counts[s] sequences of source s, four predictions each, in shards of a few sequences. All
// ids of the n-th sequence of the folder are `first_id` + n. Aborts on an error.
std::string MakeTestShards(const std::vector<int64_t>& counts, uint32_t first_id = 0);
std::string MakeTestShards(const std::vector<int64_t>& counts, uint32_t first_id, ShardManifest info);

// What the above uses: sequence_length 4, vocab_size 100000, eos_id 0.
ShardManifest TestShardInfo();

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_TESTING_H_
