#include "data/dedup/near_duplicates.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "data/corpus/stage_harness.h"
#include "data/dedup/minhash.h"

namespace millrace::data {
namespace {

bool NotInterrupted() { return false; }

struct Corpus {
  explicit Corpus(std::vector<ShingleSet> sets, int bands = 14, int rows = 8)
      : shingles(std::move(sets)), table(bands), read([this](uint32_t i) { return shingles[i]; }) {
    const MinHasher hasher(bands, rows);
    std::vector<uint64_t> hashes(bands);
    for (size_t i = 0; i < shingles.size(); ++i) {
      if (shingles[i].empty()) continue;
      hasher.BandHashes(shingles[i], hashes.data());
      table.Add(i, hashes.data());
    }
  }
  std::vector<ShingleSet> shingles;
  BandTable table;
  ReadShingles read;
};

TEST(NearDuplicatesTest, FixtureRecallAndPrecision) {
  const std::vector<Document> documents = DocumentsOfJsonl("data/dedup/testdata/dedup/docs.jsonl");
  std::vector<ShingleSet> sets;
  for (const Document& document : documents) sets.push_back(ShingleSetOf(document.text, 5));
  const Corpus corpus(std::move(sets));
  NearDuplicateOptions options;
  options.threads = 2;
  const std::vector<NearDuplicatePair> pairs = *NearDuplicatePairs(corpus.table, options, corpus.read);

  std::map<std::pair<std::string, std::string>, double> truth;
  std::ifstream lines("data/dedup/testdata/dedup/pairs.jsonl");
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json pair = nlohmann::json::parse(line);
    truth[{pair["a"], pair["b"]}] = pair["jaccard"];
  }
  std::set<std::pair<std::string, std::string>> found;
  for (const NearDuplicatePair& pair : pairs) {
    std::string a = documents[pair.a].id, b = documents[pair.b].id;
    if (b < a) std::swap(a, b);
    const auto it = truth.find({a, b});
    ASSERT_NE(it, truth.end()) << a << " " << b;
    EXPECT_GE(it->second, 0.75);
    EXPECT_NEAR(it->second, pair.overlap.jaccard(), 1e-6);
    found.insert({a, b});
  }
  int relevant = 0, recalled = 0, nearer = 0, nearer_recalled = 0;
  for (const auto& [pair, jaccard] : truth) {
    if (jaccard < 0.8) continue;
    ++relevant;
    recalled += found.count(pair);
    if (jaccard >= 0.9) continue;
    ++nearer;
    nearer_recalled += found.count(pair);
  }
  EXPECT_EQ(relevant, 348);
  std::printf("recall at 0.8: %d of %d; of 0.8 to 0.9: %d of %d; %zu pairs\n", recalled, relevant, nearer_recalled,
              nearer, found.size());
  EXPECT_GE(recalled, 0.95 * relevant);
}

// Sets are the components of all verified candidate pairs, on random graphs with hubs, chains and copies.
TEST(NearDuplicatesTest, GroupsAreTheComponents) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 60; ++round) {
    std::vector<ShingleSet> sets;
    const int count = 5 + random() % 60;
    for (int i = 0; i < count; ++i) {
      ShingleSet set;
      if (!sets.empty() && random() % 4) {  // a variant of an earlier one
        set = sets[random() % sets.size()];
        const int edits = random() % 12;
        for (int e = 0; e < edits && !set.empty(); ++e) set[random() % set.size()] = random();
        MakeSet(set);
      } else {
        set.resize(random() % 3 == 0 ? 1 : 40);
        for (uint64_t& shingle : set) shingle = random() % 3 == 0 ? random() % 50 : random();
        MakeSet(set);
      }
      sets.push_back(set);
    }
    // Few rows: big buckets with many pairs that are no duplicates.
    const Corpus corpus(sets, 1 + random() % 6, 1 + random() % 3);
    NearDuplicateOptions options;
    options.jaccard_threshold = 0.5 + 0.1 * (random() % 5);
    UnionFind expected(count);
    const std::vector<NearDuplicatePair> pairs = *NearDuplicatePairs(corpus.table, options, corpus.read);
    for (const NearDuplicatePair& pair : pairs) expected.Union(pair.a, pair.b);
    expected.Flatten();
    int64_t verified = -1;
    for (const int threads : {1, 2, 7}) {
      options.threads = threads;
      UnionFind groups(count);
      const int64_t now_verified = *UniteNearDuplicates(corpus.table, options, corpus.read, NotInterrupted, groups);
      if (verified < 0) verified = now_verified;
      EXPECT_EQ(now_verified, verified);
      for (int i = 0; i < count; ++i) ASSERT_EQ(groups.RootOf(i), expected.RootOf(i)) << "round " << round;
    }
  }
}

TEST(NearDuplicatesTest, ManyCopiesCostFewVerifications) {
  std::vector<ShingleSet> sets(5000, ShingleSet{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  for (size_t i = 0; i < sets.size(); i += 2) sets[i].back() = 1000 + i;  // and no two of these are equal
  const Corpus corpus(std::move(sets));
  UnionFind groups(5000);
  const int64_t verified = *UniteNearDuplicates(corpus.table, {}, corpus.read, NotInterrupted, groups);
  EXPECT_LT(verified, 20000);
  EXPECT_EQ(groups.RootOf(4999), groups.RootOf(1));
}

TEST(NearDuplicatesTest, WithoutVerificationEveryCandidateCounts) {
  const Corpus corpus({{1, 2, 3}, {1, 9, 8}, {100}}, 50, 1);
  NearDuplicateOptions options;
  UnionFind verified(3), unverified(3);
  EXPECT_TRUE(UniteNearDuplicates(corpus.table, options, corpus.read, NotInterrupted, verified).ok());
  options.verify = false;
  EXPECT_EQ(*UniteNearDuplicates(corpus.table, options, corpus.read, NotInterrupted, unverified), 0);
  EXPECT_NE(verified.RootOf(0), verified.RootOf(1));
  EXPECT_EQ(unverified.RootOf(0), unverified.RootOf(1));
  EXPECT_EQ(unverified.RootOf(2), 2);
}

TEST(NearDuplicatesTest, ErrorsAndInterruptionsEndIt) {
  const Corpus corpus({{1, 2, 3}, {1, 2, 3}});
  UnionFind groups(2);
  EXPECT_EQ(UniteNearDuplicates(
                corpus.table, {}, [](uint32_t) { return absl::DataLossError("x"); }, NotInterrupted, groups)
                .status()
                .code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(UniteNearDuplicates(
                corpus.table, {}, corpus.read, [] { return true; }, groups)
                .status()
                .code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace millrace::data
