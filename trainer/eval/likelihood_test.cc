#include "trainer/eval/likelihood.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "trainer/eval/testing.h"

namespace millrace::trainer {
namespace {

bool Continue(int64_t, int64_t) { return true; }

std::vector<double> Nats(const data::HeldOutSet& documents, const LoadedModel& model, int threads) {
  ParallelInference inference(model, threads);
  const absl::StatusOr<std::vector<double>> nats = DocumentNats(documents, inference, Continue);
  EXPECT_TRUE(nats.ok()) << nats.status();
  return nats.ok() ? *nats : std::vector<double>(documents.num_documents(), NAN);
}

// Documents of 0 to 40 ids below `vocabulary`, of two sources.
std::vector<TestDocument> ManyDocuments(uint32_t vocabulary) {
  std::vector<TestDocument> documents;
  for (uint32_t i = 0; i < 60; ++i) {
    TestDocument document;
    document.source = i / 30;
    for (uint32_t t = 0; t < i * 7 % 41; ++t) document.ids.push_back(1 + (i * 131 + t * t * 17 + t) % (vocabulary - 1));
    document.text = std::string(2 * document.ids.size(), 'x');
    documents.push_back(document);
  }
  return documents;
}

TEST(LikelihoodTest, ByHand) {
  // 0 is EOS. Rows: the probabilities of what follows.
  const LoadedModel model = BigramTestModel(
      {{0.1, 0.2, 0.3, 0.4}, {0.5, 0.125, 0.125, 0.25}, {0.7, 0.1, 0.1, 0.1}, {0.25, 0.25, 0.25, 0.25}}, 3);
  const data::HeldOutSet documents = OpenTestHeldOut({{{1, 3, 3, 2}, 0, "abcde"}, {{}, 0, ""}, {{2}, 2, "12"}}, 4);
  const std::vector<double> nats = Nats(documents, model, 1);
  // EOS 1 3 | 3 2 EOS: the window's border changes nothing, since one id is all that this model looks at.
  EXPECT_NEAR(nats[0], -std::log(0.2 * 0.25 * 0.25 * 0.25 * 0.7), 1e-5);
  EXPECT_NEAR(nats[1], -std::log(0.1), 1e-6);
  EXPECT_NEAR(nats[2], -std::log(0.3 * 0.7), 1e-6);

  const LikelihoodBySource sums = Summarize(documents, nats);
  EXPECT_EQ(sums.all.documents, 3);
  EXPECT_EQ(sums.all.tokens, 8);
  EXPECT_EQ(sums.all.bytes, 7);
  EXPECT_EQ(sums.source.size(), 2);
  EXPECT_EQ(sums.source.at(0).tokens, 6);
  EXPECT_NEAR(sums.source.at(2).loss(), -std::log(0.21) / 2, 1e-6);
  EXPECT_NEAR(sums.source.at(2).perplexity(), 1 / std::sqrt(0.21), 1e-5);
  EXPECT_NEAR(sums.source.at(2).bits_per_byte(), -std::log2(0.21) / 2, 1e-6);
}

TEST(LikelihoodTest, UniformModelNeedsLog2OfTheVocabulary) {
  const LoadedModel model = UniformTestModel(100, 16);
  const data::HeldOutSet documents = OpenTestHeldOut(ManyDocuments(100), 100);
  const LikelihoodBySource sums = Summarize(documents, Nats(documents, model, 2));
  EXPECT_NEAR(sums.all.loss() / std::log(2), std::log2(100), 1e-6);
  EXPECT_NEAR(sums.all.perplexity(), 100, 1e-4);
  EXPECT_NEAR(sums.all.bits_per_byte() * sums.all.bytes, std::log2(100) * sums.all.tokens, 1e-3);
}

// The rule, window by window, without batches.
TEST(LikelihoodTest, WindowsSeeNothingBeforeTheirContext) {
  const LoadedModel model = RandomTestModel(50, 8, 1);
  const data::HeldOutSet documents = OpenTestHeldOut(ManyDocuments(50), 50);
  const std::vector<double> nats = Nats(documents, model, 1);
  Inference inference(model.config, model.weights, 64);
  for (int64_t i = 0; i < documents.num_documents(); ++i) {
    std::vector<uint32_t> ids(documents.document(i).ids.begin(), documents.document(i).ids.end());
    ids.insert(ids.begin(), 0);
    ids.push_back(0);
    double expected = 0;
    for (size_t first = 0; first + 1 < ids.size(); first += 8) {
      const auto length = static_cast<int64_t>(std::min<size_t>(8, ids.size() - 1 - first));
      const Leaf leaf = NewLeaf(1, length);
      for (int64_t t = 0; t < length; ++t) {
        leaf.ids_M.mutable_data_ptr<int64_t>()[t] = ids[first + t];
        leaf.targets_M.mutable_data_ptr<int64_t>()[t] = ids[first + t + 1];
      }
      std::vector<float> losses(length);
      inference.RowLosses(leaf, losses.data());
      expected = std::accumulate(losses.begin(), losses.end(), expected);
    }
    EXPECT_NEAR(nats[i], expected, 1e-4 * (1 + expected)) << "document " << i;
  }
}

TEST(LikelihoodTest, SameBitsForAnyNumberOfThreads) {
  const LoadedModel model = RandomTestModel(300, 16, 2);
  const data::HeldOutSet documents = OpenTestHeldOut(ManyDocuments(300), 300);
  const std::vector<double> one = Nats(documents, model, 1);
  for (int threads : {2, 3, 7}) EXPECT_EQ(Nats(documents, model, threads), one) << threads << " threads";
}

TEST(LikelihoodTest, RefusesIdsOutsideOfTheVocabulary) {
  const LoadedModel model = UniformTestModel(50, 8);
  ParallelInference inference(model, 1);
  const auto nats = DocumentNats(OpenTestHeldOut({{{50}, 0, "a"}}, 51), inference, Continue);
  EXPECT_EQ(nats.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(nats.status().message().find("go up to 50, the model's vocabulary has 50"), absl::string_view::npos);
}

TEST(LikelihoodTest, NamesADocumentWithoutAFiniteLoss) {
  LoadedModel model = RandomTestModel(50, 8, 3);
  model.weights.at("model.norm.weight").mutable_data_ptr<float>()[3] = NAN;
  ParallelInference inference(model, 2);
  const auto nats = DocumentNats(OpenTestHeldOut({{{7}, 0, "a"}}, 50), inference, Continue);
  EXPECT_EQ(nats.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(LikelihoodTest, StopsWhenAsked) {
  const LoadedModel model = UniformTestModel(50, 1024);
  ParallelInference inference(model, 1);
  int calls = 0;
  const auto nats = DocumentNats(OpenTestHeldOut({{std::vector<uint32_t>(5000, 1), 0, ""}}, 50), inference,
                                 [&](int64_t done, int64_t total) {
                                   EXPECT_EQ(done, ++calls * 1024);
                                   EXPECT_EQ(total, 5001);
                                   return calls < 2;
                                 });
  EXPECT_EQ(nats.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(calls, 2);
}

TEST(LikelihoodTest, NoDocuments) {
  const LoadedModel model = UniformTestModel(50, 8);
  const data::HeldOutSet documents = OpenTestHeldOut({}, 50);
  EXPECT_TRUE(Nats(documents, model, 2).empty());
  EXPECT_EQ(Summarize(documents, {}).all.tokens, 0);
}

}  // namespace
}  // namespace millrace::trainer
