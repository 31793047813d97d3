#include "trainer/runtime/batch_leaf_source.h"

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace millrace::trainer {
namespace {

template <typename T>
std::vector<T> Values(const at::Tensor& tensor) {
  return {tensor.data_ptr<T>(), tensor.data_ptr<T>() + tensor.numel()};
}

TEST(FillLeafTest, DocumentsAndWeights) {
  const std::vector<uint32_t> ids = {10, 11, 12, 13, 14}, other_ids = {20, 21, 22, 23, 24}, starts = {1, 3}, none;
  const std::vector<uint8_t> weights = {1, 0, 1, 1};
  const data::Sequence sequences[] = {{.ids = ids, .document_starts = starts, .loss_weights = weights},
                                      {.ids = other_ids, .document_starts = none, .loss_weights = {}}};
  Leaf leaf;
  FillLeaf(sequences, 4, /*attend_across_documents=*/false, leaf);
  EXPECT_EQ(leaf.sequences, 2);
  EXPECT_EQ(leaf.length, 4);
  EXPECT_EQ(Values<int64_t>(leaf.ids_M), (std::vector<int64_t>{10, 11, 12, 13, 20, 21, 22, 23}));
  EXPECT_EQ(Values<int64_t>(leaf.targets_M), (std::vector<int64_t>{11, -1, 13, 14, 21, 22, 23, 24}));
  EXPECT_EQ(Values<int32_t>(leaf.positions_M), (std::vector<int32_t>{0, 0, 1, 0, 0, 1, 2, 3}));
  EXPECT_EQ(Values<int32_t>(leaf.attend_from_M), (std::vector<int32_t>{0, 1, 1, 3, 0, 0, 0, 0}));

  FillLeaf(sequences, 4, /*attend_across_documents=*/true, leaf);
  EXPECT_FALSE(leaf.attend_from_M.defined());
  EXPECT_EQ(Values<int32_t>(leaf.positions_M), (std::vector<int32_t>{0, 1, 2, 3, 0, 1, 2, 3}));
}

// Sequence r is r, r, ...; odd ones count half of their predictions.
std::string WriteShards(int rows, bool any_counts = true) {
  const std::string folder = *MakeTempDirectory("shards");
  data::ShardManifest info;
  info.sequence_length = 4;
  info.vocab_size = 100;
  data::ShardSetWriter writer(folder, info, rows, 1 << 20);
  for (int r = 0; r < rows; ++r) {
    const std::vector<uint32_t> ids(5, r);
    std::vector<uint8_t> weights;
    if (r % 2 == 1) weights = {1, 1, 0, 0};
    if (!any_counts) weights = {0, 0, 0, 0};
    EXPECT_TRUE(writer.Append({.ids = ids, .document_starts = {}, .loss_weights = weights}).ok());
  }
  EXPECT_TRUE(writer.Close().ok());
  return folder;
}

TEST(BatchLeafSourceTest, LeavesOfAStep) {
  const auto order = data::BatchOrder::Open(WriteShards(8), 3);
  ASSERT_TRUE(order.ok()) << order.status();
  BatchLeafSource source(*order, 8, 2);
  std::vector<int64_t> seen;
  ASSERT_TRUE(source.BeginStep(1).ok());
  // An epoch in one step: 4 x 4 + 4 x 2 targets, 4 leaves.
  EXPECT_EQ(source.loss_divisor(), 24.0 / 4);
  Leaf leaf;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(source.Load(i, leaf).ok());
    EXPECT_EQ(leaf.loss_divisor, 6);
    for (int s = 0; s < 2; ++s) seen.push_back(leaf.ids_M.data_ptr<int64_t>()[4 * s]);
  }
  EXPECT_THAT(seen, ::testing::UnorderedElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  std::vector<int64_t> expected;
  const std::vector<data::SequenceRef> refs = *order->RowsForStep(1, 8);
  for (const data::SequenceRef& ref : refs) expected.push_back(ref.row);
  EXPECT_EQ(seen, expected);
}

TEST(BatchLeafSourceTest, AStepWithoutTargets) {
  const auto order = data::BatchOrder::Open(WriteShards(4, false), 3);
  ASSERT_TRUE(order.ok());
  BatchLeafSource source(*order, 4, 2);
  EXPECT_EQ(source.BeginStep(1).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace::trainer
