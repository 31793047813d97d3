// What the steps of a train stage read, seen from outside: data of another digest may still begin with the same steps,
// as a mixture does whose max_epochs was raised.
//
// Of a MIXTURE (byte layout in data/shards/mixture.h) step s of a global batch of B reads the entries (s-1) B ... s B-1
// of order.bin, rows of the shards that lie beside it; its manifest.json adds nothing to that. Any other artifact, and
// an order.bin of another version, counts as a whole.
#ifndef MILLRACE_EXECUTOR_ENGINE_TRAIN_DATA_H_
#define MILLRACE_EXECUTOR_ENGINE_TRAIN_DATA_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/file.h"
#include "executor/cas/cas.h"
#include "executor/cas/entry.pb.h"
#include "executor/graph/resolved_pipeline.h"

namespace millrace {

// Thread-safe: immutable.
class TrainData {
 public:
  TrainData() = default;  // of a stage without data
  // `producer[e]`: the entry of the stage that makes the input `edges[e]`. The data's bytes need not be there.
  static TrainData Of(Cas& cas, const ResolvedStage& stage, const std::vector<const ActionEntry*>& producer);

  // SHA-256 of what steps (first, last] read: where it is equal, they read the same. An empty range stands for what
  // lies beside the order. "": the bytes are not there to tell.
  std::string OfSteps(int64_t first, int64_t last) const;

  // Notes in a segment what its steps read; whether what they read is what these data have there.
  void Describe(SegmentEntry& segment) const;
  bool Matches(const SegmentEntry& segment) const;

 private:
  enum class Form {
    kWhole,
    kOrder,
    kUnknown,  // a mixture whose bytes are gone
  };

  Form OpenOrder(Cas& cas, const Tree& tree);
  absl::string_view order() const { return content_.empty() ? mapped_.data() : content_; }

  std::string digest_;  // of the whole
  Form form_ = Form::kWhole;
  int64_t global_batch_size_ = 0;
  std::string beside_order_;  // SHA-256
  MappedFile mapped_;         // order.bin is in one of the two
  std::string content_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_TRAIN_DATA_H_
