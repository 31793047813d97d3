#include "executor/engine/train_data.h"

#include <cstring>
#include <utility>

#include "base/sha256.h"
#include "pipelines/schema/train.pb.h"

namespace millrace {
namespace {

constexpr absl::string_view kOrderFile = "order.bin", kManifestFile = "manifest.json";
constexpr absl::string_view kOrderMagic("MRMIXORD\2\0\0\0", 12);  // and its version
constexpr size_t kHeaderBytes = 64, kPositionsOffset = 16, kEntryBytes = 8;

std::string AsBytes(const Sha256Bytes& digest) { return std::string(digest.begin(), digest.end()); }

}  // namespace

TrainData TrainData::Of(Cas& cas, const ResolvedStage& stage, const std::vector<const ActionEntry*>& producer) {
  TrainData data;
  for (size_t e = 0; e < stage.edges.size(); ++e) {
    const StageEdge& edge = stage.edges[e];
    if (edge.name != "data") continue;
    for (const OutputTree& output : producer[e]->output()) {
      if (output.name() == edge.output) data.digest_ = output.digest();
    }
    data.global_batch_size_ = static_cast<const Train&>(*stage.parameters).global_batch_size();
    if (edge.artifact != MIXTURE) break;
    data.form_ = Form::kUnknown;
    const absl::StatusOr<Digest> digest = Digest::Parse(data.digest_);
    if (!digest.ok()) break;
    if (const absl::StatusOr<Tree> tree = cas.GetTree(*digest); tree.ok()) data.form_ = data.OpenOrder(cas, *tree);
  }
  return data;
}

TrainData::Form TrainData::OpenOrder(Cas& cas, const Tree& tree) {
  Tree beside = tree;
  beside.files.clear();
  for (const TreeFile& file : tree.files) {
    if (file.path != kOrderFile) {
      if (file.path != kManifestFile) beside.files.push_back(file);
      continue;
    }
    if (const std::string path = cas.BlobPath(file.digest); !path.empty()) {
      absl::StatusOr<MappedFile> mapped = MappedFile::Open(path);
      if (!mapped.ok()) return Form::kUnknown;
      mapped_ = *std::move(mapped);
    } else {
      absl::StatusOr<std::string> content = cas.Get(file.digest);
      if (!content.ok()) return Form::kUnknown;
      content_ = *std::move(content);
    }
  }
  if (order().size() < kHeaderBytes || order().substr(0, kOrderMagic.size()) != kOrderMagic) return Form::kWhole;
  uint64_t positions;
  std::memcpy(&positions, order().data() + kPositionsOffset, sizeof(positions));
  if ((order().size() - kHeaderBytes) / kEntryBytes != positions) return Form::kWhole;
  beside_order_ = AsBytes(Sha256Of(beside.Canonical()));
  return Form::kOrder;
}

std::string TrainData::OfSteps(int64_t first, int64_t last) const {
  Sha256 hash;
  switch (form_) {
    case Form::kUnknown:
      return "";
    case Form::kWhole:
      hash.Update("millrace.train_data.whole.v1");
      hash.Update(digest_);
      break;
    case Form::kOrder: {
      const absl::string_view entries = order().substr(kHeaderBytes);
      const size_t step_bytes = static_cast<size_t>(global_batch_size_) * kEntryBytes;
      if (step_bytes == 0 || static_cast<size_t>(last) > entries.size() / step_bytes) return "";  // the order ends
      hash.Update("millrace.train_data.order.v1");
      hash.Update(beside_order_);
      hash.Update(entries.substr(first * step_bytes, (last - first) * step_bytes));
    }
  }
  return AsBytes(hash.Finish());
}

void TrainData::Describe(SegmentEntry& segment) const {
  segment.set_data(digest_);
  segment.set_data_of_steps(OfSteps(segment.first(), segment.last()));
}

bool TrainData::Matches(const SegmentEntry& segment) const {
  if (segment.data() == digest_) return true;
  const std::string of_steps = OfSteps(segment.first(), segment.last());
  return !of_steps.empty() && of_steps == segment.data_of_steps();
}

}  // namespace millrace
