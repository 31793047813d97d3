#include "trainer/eval/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/file.h"
#include "trainer/eval/testing.h"

namespace millrace::trainer {
namespace {

bool Never() { return false; }

class SamplingTest : public testing::Test {
 protected:
  static data::Tokenizer Load() {
    const std::string folder = *MakeTempDirectory("tokenizer");
    WriteByteTokenizer(folder);
    return *data::Tokenizer::Load(folder);
  }
  std::vector<std::string> Draw(const std::vector<SampleRequest>& requests, const LoadedModel& model, uint64_t seed = 1,
                                int threads = 1) {
    ParallelInference inference(model, threads);
    const auto texts = Sample(requests, tokenizer_, seed, inference, Never);
    EXPECT_TRUE(texts.ok()) << texts.status();
    return texts.ok() ? *texts : std::vector<std::string>(requests.size());
  }

  const data::Tokenizer tokenizer_ = Load();
};

// A model that writes "bcdef" after "a", then ends; all that it has not seen is followed by '?'.
LoadedModel Alphabet(int64_t max_positions) {
  std::vector<std::vector<double>> p(kByteVocabulary + 1, std::vector<double>(kByteVocabulary + 1, 0.001));
  for (auto& row : p) row['?' + 1] = 0.5;
  for (char c = 'a'; c < 'f'; ++c) p[c + 1][c + 2] = 0.7;
  p['f' + 1][0] = 0.7;
  p[0]['a' + 1] = 0.6;
  return BigramTestModel(p, max_positions);
}

TEST_F(SamplingTest, GreedyStopsAtTheEndOfText) {
  const std::vector<std::string> texts =
      Draw({{"a"}, {"a", 3}, {"f"}, {"", 4}, {"xyz", 2}}, Alphabet(/*max_positions=*/64));
  EXPECT_EQ(texts, (std::vector<std::string>{"bcdef", "bcd", "", "abcd", "??"}));
}

TEST_F(SamplingTest, TheWindowSlides) {
  EXPECT_EQ(Draw({{"0123456789a", 40}}, Alphabet(/*max_positions=*/4))[0], "bcdef");
  // A model that looks at all it sees: each token is that of the last ids alone. All its ids are ASCII.
  const LoadedModel model = RandomTestModel(/*vocab_size=*/98, /*max_positions=*/8, 5);
  std::vector<uint32_t> ids = ByteIds("SOME PROMPT");
  std::string expected;
  for (int i = 0; i < 5; ++i) {
    const Leaf leaf = NewLeaf(1, 8);
    std::copy(ids.end() - 8, ids.end(), leaf.ids_M.mutable_data_ptr<int64_t>());
    std::vector<float> logits(98);
    Inference(model.config, model.weights, 8).Logits(leaf, 7, 1, logits.data());
    ids.push_back(ChooseToken(logits, 0, 0.5));
    ASSERT_NE(ids.back(), 0);
    expected += static_cast<char>(ids.back() - 1);
  }
  EXPECT_EQ(Draw({{"SOME PROMPT", 5}}, model)[0], expected);
}

TEST_F(SamplingTest, DependsOnSeedPromptAndIndexOnly) {
  const LoadedModel model = UniformTestModel(kByteVocabulary, 32);
  std::vector<SampleRequest> requests;
  for (int i = 0; i < 6; ++i) requests.push_back({"prompt", 20, 1.0, i});
  requests.push_back({"other", 20, 1.0, 0});
  const std::vector<std::string> texts = Draw(requests, model, 1, 1);
  for (size_t a = 0; a < texts.size(); ++a) {
    for (size_t b = 0; b < a; ++b) EXPECT_NE(texts[a], texts[b]);
  }
  for (int threads : {2, 3}) EXPECT_EQ(Draw(requests, model, 1, threads), texts);
  EXPECT_EQ(Draw({requests[4]}, model)[0], texts[4]);  // alone or among others
  EXPECT_NE(Draw(requests, model, 2), texts);
}

TEST_F(SamplingTest, BytesThatAreNotUtf8AreReplaced) {
  std::vector<std::vector<double>> p(kByteVocabulary + 1, std::vector<double>(kByteVocabulary + 1, 0.001));
  p['a' + 1][0xE4 + 1] = 0.9;  // the first of three bytes
  p[0xE4 + 1][0xBD + 1] = 0.9;
  p[0xBD + 1][0xA0 + 1] = 0.9;
  p[0xA0 + 1]['a' + 1] = 0.9;
  EXPECT_EQ(Draw({{"a", 6}}, BigramTestModel(p, 16))[0], "你a\xEF\xBF\xBD");
}

TEST_F(SamplingTest, RefusesWhatCannotBe) {
  const LoadedModel small = UniformTestModel(98, 16);
  ParallelInference inference(small, 1);
  EXPECT_EQ(Sample({{"`"}}, tokenizer_, 1, inference, Never).status().code(), absl::StatusCode::kOk);
  EXPECT_EQ(Sample({{"a"}}, tokenizer_, 1, inference, Never).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Sample({{"`"}}, tokenizer_, 1, inference, [] { return true; }).status().code(),
            absl::StatusCode::kCancelled);
  LoadedModel broken = UniformTestModel(kByteVocabulary, 16);
  broken.weights.at("model.norm.weight").mutable_data_ptr<float>()[0] = INFINITY;
  ParallelInference broken_inference(broken, 1);
  EXPECT_EQ(Sample({{"a"}}, tokenizer_, 1, broken_inference, Never).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(ChooseTokenTest, Greedy) {
  EXPECT_EQ(ChooseToken({1, 3, 2}, 0, 0.99), 1);
  EXPECT_EQ(ChooseToken({1, 3, 3, 3}, 0, 0.99), 1);  // the lowest id of equals
}

TEST(ChooseTokenTest, FollowsTheProbabilities) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.2f), std::log(0.7f)};
  for (const auto& [uniform, token] :
       std::map<double, uint32_t>{{1e-17, 0}, {0.0999, 0}, {0.1001, 1}, {0.2999, 1}, {0.3001, 2}, {1 - 1e-16, 2}}) {
    EXPECT_EQ(ChooseToken(logits, 1, uniform), token) << uniform;
  }
  // p^2 at temperature 0.5: 0.01, 0.04, 0.49 of 0.54.
  EXPECT_EQ(ChooseToken(logits, 0.5, 0.0184), 0);
  EXPECT_EQ(ChooseToken(logits, 0.5, 0.0186), 1);
  EXPECT_EQ(ChooseToken(logits, 0.5, 0.0927), 2);
  // Nearly 0: the likeliest, also where the others' probabilities vanish.
  EXPECT_EQ(ChooseToken({1, 3, 2}, 1e-9, 1 - 1e-16), 1);
  EXPECT_EQ(ChooseToken({1, 3, 2}, 1e-320, 0.5), 1);
}

}  // namespace
}  // namespace millrace::trainer
