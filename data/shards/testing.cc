#include "data/shards/testing.h"

#include "base/check.h"
#include "base/file.h"
#include "data/shards/shard.h"

namespace millrace::data {

ShardManifest TestShardInfo() {
  ShardManifest info;
  info.sequence_length = 4;
  info.strategy = "CONCATENATE";
  info.vocab_size = 100000;
  info.eos_id = 0;
  return info;
}

std::string MakeTestShards(const std::vector<int64_t>& counts, uint32_t first_id, ShardManifest info) {
  const std::string folder = *MakeTempDirectory("shards");
  int64_t total = 0;
  for (const int64_t count : counts) total += count;
  ShardSetWriter writer(folder, info, total, 700);
  uint32_t id = first_id;
  for (size_t source = 0; source < counts.size(); ++source) {
    writer.CountDocuments(source, counts[source]);
    for (int64_t i = 0; i < counts[source]; ++i, ++id) {
      const std::vector<uint32_t> ids(info.sequence_length + 1, id), starts = {0};
      MILLRACE_CHECK(writer.Append({ids, starts, {}, static_cast<uint16_t>(source)}).ok());
    }
  }
  MILLRACE_CHECK(writer.Close().ok());
  return folder;
}

std::string MakeTestShards(const std::vector<int64_t>& counts, uint32_t first_id) {
  return MakeTestShards(counts, first_id, TestShardInfo());
}

}  // namespace millrace::data
