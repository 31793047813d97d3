// Packs the documents of a TOKENS folder into SHARDS: what the `pack` stage does (pipelines/schema/pack.proto).
//
// A document is its ids and one end-of-text id, all of them predicted; the first from the end-of-text id before it.
// Documents without ids are left out. Within a source they come in the order of the SHA-256 of their text.
//   CONCATENATE       each prediction of each document exactly once; only a source's last sequence has padding
//   BEST_FIT          documents of up to sequence_length predictions are whole in one sequence; longer ones are cut
//                     into full sequences and a rest, which is packed like a short document, after its own context
//   ONE_PER_SEQUENCE  each document begins a sequence; what is longer than that is dropped
#ifndef MILLRACE_DATA_SHARDS_PACK_H_
#define MILLRACE_DATA_SHARDS_PACK_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/shards/manifest.h"
#include "data/tokenizer/token_file.h"
#include "pipelines/schema/pack.pb.h"

namespace millrace::data {

struct PackResult {
  ShardManifest train;
  ShardManifest held_out;
  int64_t documents_cut = 0;    // in more than one sequence, or with a part dropped
  int64_t tokens_dropped = 0;   // ONE_PER_SEQUENCE
  int64_t documents_empty = 0;  // left out

  double padding_fraction() const {
    const int64_t all = train.tokens + train.padding_tokens;
    return all == 0 ? 0 : static_cast<double>(train.padding_tokens) / static_cast<double>(all);
  }
};

// Writes both folders, which exist and are empty. Memory: about 110 bytes a document (56 of them the mapped
// documents.bin of the tokens), one shard's columns and one file of held-out documents; not the ids, which are read
// piece by piece. `progress` is called with the documents done.
//   InvalidArgument: the tokens have no end-of-text id, or more than 65 535 sources.
absl::StatusOr<PackResult> PackTokens(const TokenFile& tokens, const Pack& parameters, const std::string& train_folder,
                                      const std::string& held_out_folder,
                                      const std::function<void(int64_t documents_done)>& progress);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_PACK_H_
