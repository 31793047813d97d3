#include "data/shards/batch_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/shards/mix.h"
#include "data/shards/randperm.h"
#include "data/shards/testing.h"
#include "google/protobuf/text_format.h"

namespace millrace::data {
namespace {

std::string MakeMixture(const std::string& parameters, const std::string& shards) {
  Mix mix;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(parameters, &mix));
  const std::string folder = *MakeTempDirectory("mixture");
  const absl::Status status =
      BuildMixture(mix, 42, std::vector<std::string>(mix.component_size(), shards), folder, [](int64_t) {}).status();
  EXPECT_TRUE(status.ok()) << status;
  return folder;
}

std::vector<SequenceRef> Rows(const BatchOrder& order, int64_t step, int64_t global_batch_size) {
  absl::StatusOr<std::vector<SequenceRef>> rows = order.RowsForStep(step, global_batch_size);
  EXPECT_TRUE(rows.ok()) << rows.status();
  return *std::move(rows);
}

TEST(BatchOrderTest, PlainShardsAreShuffledEpochsOfPyTorch) {
  const absl::StatusOr<BatchOrder> order = BatchOrder::Open(MakeTestShards({10, 11}), 7);
  ASSERT_TRUE(order.ok()) << order.status();
  EXPECT_FALSE(order->num_positions().has_value());
  EXPECT_EQ(order->sequence_length(), 4);
  EXPECT_EQ(order->vocab_size(), 100000);
  std::vector<int64_t> expected;
  for (int64_t epoch = 0; epoch < 5; ++epoch) {
    const std::vector<int64_t> permutation = Randperm(21, 7 + epoch);
    expected.insert(expected.end(), permutation.begin(), permutation.end());
  }
  std::vector<int64_t> rows;
  for (int64_t step = 1; step <= 13; ++step) {  // 104 of 105 places; batches cross the epochs' borders
    for (const SequenceRef& ref : Rows(*order, step, 8)) rows.push_back(ref.row);
  }
  EXPECT_TRUE(std::equal(rows.begin(), rows.end(), expected.begin()));
  // Out of order, and far ahead.
  EXPECT_EQ(Rows(*order, 1, 8)[0].row, expected[0]);
  EXPECT_TRUE(order->RowsForStep(100000, 8).ok());
}

TEST(BatchOrderTest, ABatchIsTheSameWhateverItIsCutInto) {
  const BatchOrder order = *BatchOrder::Open(MakeTestShards({10, 11}), 7);
  std::vector<SequenceRef> whole, parts;
  for (int64_t step = 1; step <= 4; ++step) {
    for (const SequenceRef& ref : Rows(order, step, 6)) whole.push_back(ref);
  }
  for (int64_t step = 1; step <= 8; ++step) {
    for (const SequenceRef& ref : Rows(order, step, 3)) parts.push_back(ref);
  }
  EXPECT_EQ(whole, parts);
}

TEST(BatchOrderTest, MixtureEndsWithAReasonAndRemedies) {
  const std::string folder = MakeMixture(R"(component { source: "0" weight: 0.5 max_epochs: 2 }
                                            component { source: "1" weight: 0.5 max_epochs: 1 })",
                                         MakeTestShards({30, 10}));
  const absl::StatusOr<BatchOrder> order = BatchOrder::Open(folder, 0);
  ASSERT_TRUE(order.ok()) << order.status();
  ASSERT_TRUE(order->num_positions().has_value());
  const int64_t steps = *order->num_positions() / 3;
  EXPECT_TRUE(order->RowsForStep(steps, 3).ok());
  EXPECT_TRUE(order->CheckEnough(steps, 3).ok());
  const absl::Status status = order->RowsForStep(steps + 1, 3).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(status, order->CheckEnough(steps + 1, 3));
  EXPECT_EQ(std::string(status.message()),
            "the data end after 84 tokens; step 8 needs 96\n"
            "  why: component 1 of the mixture has 10 sequences, and would be seen more than max_epochs 1 times\n"
            "  fix: raise its max_epochs, lower its weight, give it more text, or train for at most 7 steps "
            "(max_tokens: 84)");
}

TEST(BatchOrderTest, ReadsTheSequences) {
  const std::string folder =
      MakeMixture(R"(component { source: "1" weight: 1 max_epochs: 1 })", MakeTestShards({30, 10}));
  const BatchOrder order = *BatchOrder::Open(folder, 0);
  std::vector<uint32_t> seen;
  for (const SequenceRef& ref : Rows(order, 1, 10)) {
    const absl::StatusOr<Sequence> sequence = order.Read(ref);
    ASSERT_TRUE(sequence.ok()) << sequence.status();
    EXPECT_EQ(sequence->ids.size(), 5);
    EXPECT_EQ(sequence->source, 1);
    seen.push_back(sequence->ids[0]);
  }
  std::sort(seen.begin(), seen.end());
  for (uint32_t i = 0; i < 10; ++i) EXPECT_EQ(seen[i], 30 + i);
  EXPECT_EQ(order.Read({5, 0}).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(order.Read({0, 40}).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(BatchOrderTest, RefusesWhatHasNoSequences) {
  EXPECT_EQ(BatchOrder::Open(MakeTestShards({}), 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(BatchOrder::Open(*MakeTempDirectory("empty"), 0).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(BatchOrder::Open(MakeTestShards({3}), 0)->RowsForStep(0, 3).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace::data
