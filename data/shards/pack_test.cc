#include "data/shards/pack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/sha256.h"
#include "data/shards/held_out.h"
#include "data/shards/shard.h"

namespace millrace::data {
namespace {

constexpr uint32_t kEos = 0;

struct Document {
  std::vector<uint32_t> ids;
  uint32_t source = 0;
  bool held_out = false;
};

Sha256Bytes HashOf(const Document& document) {
  return Sha256Of({reinterpret_cast<const char*>(document.ids.data()), document.ids.size() * 4});
}

// Distinct ids throughout, so that each prediction can be told from every other.
std::vector<Document> RandomDocuments(int count, int longest, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<Document> documents(count);
  uint32_t next = 1;
  for (Document& document : documents) {
    document.ids.resize(random() % longest);
    for (uint32_t& id : document.ids) id = next++;
    document.source = random() % 3;
    document.held_out = random() % 5 == 0;
  }
  return documents;
}

TokenFile WriteTokens(const std::vector<Document>& documents, std::optional<uint32_t> eos_id = kEos) {
  const std::string folder = *MakeTempDirectory("tokens");
  TokenFileInfo info;
  info.sources = 3;
  info.vocab_size = 1 << 20;
  info.eos_id = eos_id;
  TokenFileWriter writer = *TokenFileWriter::Create(folder, info);
  for (const Document& document : documents) {
    TokenDocument token_document;
    token_document.ids = document.ids;
    token_document.source = document.source;
    token_document.held_out = document.held_out;
    token_document.text_bytes = 3 * document.ids.size();
    token_document.text_sha256 = HashOf(document);
    writer.Append(token_document);
  }
  EXPECT_TRUE(writer.Close().ok());
  return *TokenFile::Open(folder);
}

struct Packed {
  PackResult result;
  ShardSet train;
  HeldOutSet held_out;
};

Packed PackDocuments(const std::vector<Document>& documents, int length, Pack::Strategy strategy,
                     const std::string& shard_size = "2kB") {
  Pack parameters;
  parameters.set_sequence_length(length);
  parameters.set_strategy(strategy);
  parameters.set_shard_size(shard_size);
  const std::string train = *MakeTempDirectory("train"), held_out = *MakeTempDirectory("held_out");
  absl::StatusOr<PackResult> result = PackTokens(WriteTokens(documents), parameters, train, held_out, [](int64_t) {});
  EXPECT_TRUE(result.ok()) << result.status();
  return {*result, *ShardSet::Open(train), *HeldOutSet::Open(held_out)};
}

// The training documents in the order of the shards.
std::vector<Document> InOrder(std::vector<Document> documents, bool held_out) {
  std::erase_if(documents, [&](const Document& d) { return d.held_out != held_out || (d.ids.empty() && !held_out); });
  std::stable_sort(documents.begin(), documents.end(), [](const Document& a, const Document& b) {
    return a.source != b.source ? a.source < b.source : HashOf(a) < HashOf(b);
  });
  return documents;
}

TEST(PackTest, ConcatenatesAsTheManualSays) {
  // One source, so the stream is EOS a EOS b EOS in the order of the hashes.
  const std::vector<Document> documents = InOrder({{{1, 2, 3}}, {{4, 5, 6, 7, 8}}}, false);
  std::vector<uint32_t> stream = {kEos};
  for (const Document& document : documents) {
    stream.insert(stream.end(), document.ids.begin(), document.ids.end());
    stream.push_back(kEos);
  }
  const Packed packed = PackDocuments(documents, 4, Pack::CONCATENATE);
  ASSERT_EQ(packed.train.num_sequences(), 3);  // 4 + 6 predictions
  for (int64_t row = 0; row < 3; ++row) {
    const Sequence sequence = *packed.train.Read(row);
    for (int64_t i = 0; i <= 4; ++i) {
      const size_t at = row * 4 + i;
      EXPECT_EQ(sequence.ids[i], at < stream.size() ? stream[at] : kEos);
    }
  }
  EXPECT_EQ(packed.train.Read(0)->document_starts[0], 0);
  EXPECT_TRUE(packed.train.Read(0)->loss_weights.empty());
  EXPECT_EQ(packed.train.Read(2)->loss_weights, (std::vector<uint8_t>{1, 1, 0, 0}));
  EXPECT_EQ(packed.result.documents_cut, 1);
  EXPECT_EQ(packed.result.train.tokens, 10);
  EXPECT_EQ(packed.result.train.padding_tokens, 2);
}

// What each strategy must keep: predictions with the right context, sources apart, documents where they should be.
class PackStrategyTest : public testing::TestWithParam<Pack::Strategy> {};

TEST_P(PackStrategyTest, BooksBalance) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const int length = 2 + seed * 3;
    const std::vector<Document> documents = RandomDocuments(60, 40, seed);
    const Packed packed = PackDocuments(documents, length, GetParam());

    std::map<std::pair<uint32_t, uint32_t>, int> expected;  // (context, prediction) -> times
    std::vector<uint32_t> source_of(1 << 20);
    int64_t tokens = 0, dropped = 0, cut = 0, counted = 0;
    for (const Document& document : InOrder(documents, false)) {
      uint32_t context = kEos;
      ++counted;
      for (size_t i = 0; i <= document.ids.size(); ++i) {
        const uint32_t id = i < document.ids.size() ? document.ids[i] : kEos;
        if (GetParam() == Pack::ONE_PER_SEQUENCE && static_cast<int>(i) >= length) {
          ++dropped;
        } else {
          ++expected[{context, id}];
          ++tokens;
        }
        if (id != kEos) source_of[id] = document.source;
        context = id;
      }
      if (static_cast<int>(document.ids.size()) + 1 > length) ++cut;
    }
    EXPECT_EQ(packed.result.train.tokens, tokens);
    EXPECT_EQ(packed.result.tokens_dropped, dropped);
    EXPECT_EQ(packed.result.train.documents, counted);
    if (GetParam() == Pack::CONCATENATE) {
      EXPECT_GE(packed.result.documents_cut, cut);
    } else {
      EXPECT_EQ(packed.result.documents_cut, cut);
    }

    int64_t padding = 0;
    for (int64_t row = 0; row < packed.train.num_sequences(); ++row) {
      const Sequence sequence = *packed.train.Read(row);
      for (int t = 0; t < length; ++t) {
        if (!sequence.loss_weights.empty() && sequence.loss_weights[t] == 0) {
          ++padding;
          continue;
        }
        const uint32_t context = sequence.ids[t], id = sequence.ids[t + 1];
        EXPECT_GT((expected[{context, id}]--), 0) << "seed " << seed << " row " << row << " at " << t;
        if (id != kEos) {
          EXPECT_EQ(source_of[id], sequence.source);
        }
        // A prediction made from the end-of-text id begins a document.
        const bool starts = std::count(sequence.document_starts.begin(), sequence.document_starts.end(), t) > 0;
        if (context == kEos) {
          EXPECT_TRUE(starts);
        }
        if (GetParam() == Pack::CONCATENATE) {
          EXPECT_EQ(starts, context == kEos);
        }
      }
    }
    EXPECT_EQ(padding, packed.result.train.padding_tokens);
    for (const auto& [prediction, times] : expected) EXPECT_EQ(times, 0);
  }
}

TEST_P(PackStrategyTest, HeldOutDocumentsAreWholeAndApart) {
  const std::vector<Document> documents = RandomDocuments(60, 40, 3);
  const Packed packed = PackDocuments(documents, 8, GetParam());
  const std::vector<Document> expected = InOrder(documents, true);
  ASSERT_EQ(packed.held_out.num_documents(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(packed.held_out.document(i).ids, expected[i].ids);
    EXPECT_EQ(packed.held_out.document(i).source, expected[i].source);
    EXPECT_EQ(packed.held_out.document(i).text_bytes, 3 * expected[i].ids.size());
    EXPECT_EQ(packed.held_out.document(i).text_sha256, HashOf(expected[i]));
  }
}

TEST_P(PackStrategyTest, OrderOfTheDocumentsDoesNotMatter) {
  std::vector<Document> documents = RandomDocuments(40, 30, 5);
  std::erase_if(documents, [](const Document& d) { return d.ids.empty(); });  // these have one hash
  const Packed packed = PackDocuments(documents, 8, GetParam());
  std::shuffle(documents.begin(), documents.end(), std::mt19937(1));
  const Packed again = PackDocuments(documents, 8, GetParam());
  EXPECT_EQ(packed.train.digest(), again.train.digest());
  EXPECT_EQ(ToJson(packed.held_out.manifest()), ToJson(again.held_out.manifest()));
}

INSTANTIATE_TEST_SUITE_P(All, PackStrategyTest,
                         testing::Values(Pack::CONCATENATE, Pack::BEST_FIT, Pack::ONE_PER_SEQUENCE),
                         [](const auto& info) { return Pack::Strategy_Name(info.param); });

TEST(PackTest, BestFitKeepsShortDocumentsWholeAndPadsLess) {
  const std::vector<Document> documents = RandomDocuments(200, 30, 11);
  const Packed best = PackDocuments(documents, 32, Pack::BEST_FIT);
  const Packed one = PackDocuments(documents, 32, Pack::ONE_PER_SEQUENCE);
  EXPECT_EQ(best.result.documents_cut, 0);
  EXPECT_LT(best.result.padding_fraction(), 0.1);
  EXPECT_GT(one.result.padding_fraction(), 0.4);
}

TEST(PackTest, NeedsAnEndOfTextId) {
  Pack parameters;
  parameters.set_sequence_length(4);
  const absl::Status status = PackTokens(WriteTokens({{{1, 2}}}, std::nullopt), parameters, *MakeTempDirectory("a"),
                                         *MakeTempDirectory("b"), [](int64_t) {})
                                  .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace::data
