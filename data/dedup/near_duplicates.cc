// Band by band. Documents are sorted by their hash of the band (radix by its top byte, then each part by itself on a
// thread); equal hashes are a bucket. Buckets are worked on in parallel, each from the sets as they were at the start
// of the band, and what they connect is united in order after the band.
//
// In a bucket, members are taken one after the other. Those before are kept in groups that are known to be connected; a
// member is compared with the members of each group until one is near enough, and then joins it.
#include "data/dedup/near_duplicates.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <list>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/parallel.h"
#include "base/status_macros.h"

namespace millrace::data {
namespace {

struct Entry {
  uint64_t hash;
  uint32_t index;  // in the table

  friend bool operator<(const Entry& a, const Entry& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.index < b.index;
  }
};

struct Bucket {
  size_t begin, end;  // in the sorted entries
};

std::vector<Entry> SortedEntries(const BandTable& table, int band, int threads) {
  std::array<size_t, 257> starts = {};
  for (uint32_t i = 0; i < table.size(); ++i) ++starts[(table.hash(i, band) >> 56) + 1];
  for (int part = 0; part < 256; ++part) starts[part + 1] += starts[part];
  std::vector<Entry> entries(table.size());
  std::array<size_t, 257> next = starts;
  for (uint32_t i = 0; i < table.size(); ++i) {
    const uint64_t hash = table.hash(i, band);
    entries[next[hash >> 56]++] = {hash, i};
  }
  ParallelFor(threads, 256,
              [&](int64_t part) { std::sort(entries.begin() + starts[part], entries.begin() + starts[part + 1]); });
  return entries;
}

std::vector<Bucket> BucketsOf(const std::vector<Entry>& entries) {
  std::vector<Bucket> buckets;
  for (size_t begin = 0; begin < entries.size();) {
    size_t end = begin + 1;
    while (end < entries.size() && entries[end].hash == entries[begin].hash) ++end;
    if (end - begin > 1) buckets.push_back({begin, end});
    begin = end;
  }
  return buckets;
}

// The shingles of documents of one bucket that are compared again and again, at most kMaxShingles of them.
class ShingleCache {
 public:
  explicit ShingleCache(const ReadShingles& read) : read_(read) {}

  absl::StatusOr<const ShingleSet*> Get(uint32_t document) {
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->first == document) {
        entries_.splice(entries_.begin(), entries_, it);
        return &it->second;
      }
    }
    ASSIGN_OR_RETURN(ShingleSet shingles, read_(document));
    held_ += shingles.size();
    entries_.emplace_front(document, std::move(shingles));
    while (entries_.size() > kMaxEntries || (held_ > kMaxShingles && entries_.size() > 2)) {
      held_ -= entries_.back().second.size();
      entries_.pop_back();
    }
    return &entries_.front().second;
  }

 private:
  static constexpr size_t kMaxEntries = 64;
  static constexpr size_t kMaxShingles = 4 << 20;  // 32 MiB

  const ReadShingles& read_;
  std::list<std::pair<uint32_t, ShingleSet>> entries_;  // last used first
  size_t held_ = 0;
};

// What one bucket found.
struct BucketResult {
  std::vector<std::pair<uint32_t, uint32_t>> edges;  // documents
  int64_t verified = 0;
  absl::Status status;
};

void WorkOn(const BandTable& table, const std::vector<Entry>& entries, const Bucket& bucket,
            const NearDuplicateOptions& options, const ReadShingles& read, const UnionFind& before,
            BucketResult& result) {
  const size_t size = bucket.end - bucket.begin;
  const auto document = [&](size_t member) { return table.document(entries[bucket.begin + member].index); };
  // The common case, cheaply: all are connected already.
  const uint32_t first_root = before.RootOf(document(0));
  size_t others = 0;
  for (size_t member = 1; member < size; ++member) others += before.RootOf(document(member)) != first_root;
  if (others == 0) return;
  if (!options.verify) {
    for (size_t member = 1; member < size; ++member) result.edges.emplace_back(document(0), document(member));
    return;
  }

  std::vector<std::vector<uint32_t>> groups;         // documents; emptied when merged into another
  std::vector<int> merged_into;                      // itself, if it was not
  absl::flat_hash_map<uint32_t, int> group_of_root;  // by root in `before`
  const auto resolve = [&](int group) {
    while (merged_into[group] != group) group = merged_into[group] = merged_into[merged_into[group]];
    return group;
  };
  ShingleCache cache(read);
  const auto are_near = [&](uint32_t a, uint32_t b) -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(const ShingleSet* a_shingles, cache.Get(a));
    ASSIGN_OR_RETURN(const ShingleSet* b_shingles, cache.Get(b));  // two are always kept
    ++result.verified;
    const Overlap overlap = OverlapOf(*a_shingles, *b_shingles);
    return overlap.union_size > 0 && overlap.jaccard() >= options.jaccard_threshold;
  };
  for (size_t member = 0; member < size; ++member) {
    const uint32_t current = document(member);
    const uint32_t root = before.RootOf(current);
    const auto known = group_of_root.find(root);
    int home = known == group_of_root.end() ? -1 : resolve(known->second);
    for (int g = 0; g < groups.size(); ++g) {
      if (g == home) continue;
      for (const uint32_t other : groups[g]) {
        absl::StatusOr<bool> near = are_near(other, current);
        if (!near.ok()) {
          result.status = near.status();
          return;
        }
        if (!*near) continue;
        result.edges.emplace_back(other, current);
        if (home < 0) {
          home = g;
        } else {
          groups[home].insert(groups[home].end(), groups[g].begin(), groups[g].end());
          groups[g] = {};
          merged_into[g] = home;
        }
        break;
      }
    }
    if (home < 0) {
      home = groups.size();
      groups.emplace_back();
      merged_into.push_back(home);
    }
    groups[home].push_back(current);
    group_of_root[root] = home;
  }
}

}  // namespace

absl::StatusOr<int64_t> UniteNearDuplicates(const BandTable& table, const NearDuplicateOptions& options,
                                            const ReadShingles& read, const std::function<bool()>& interrupted,
                                            UnionFind& groups) {
  int64_t verified = 0;
  for (int band = 0; band < table.bands(); ++band) {
    const std::vector<Entry> entries = SortedEntries(table, band, options.threads);
    const std::vector<Bucket> buckets = BucketsOf(entries);
    groups.Flatten();
    std::vector<BucketResult> results(buckets.size());
    std::atomic<bool> stop = false;
    ParallelFor(options.threads, buckets.size(), [&](int64_t i) {
      if (stop) return;
      if (i % 64 == 0 && interrupted()) stop = true;
      WorkOn(table, entries, buckets[i], options, read, groups, results[i]);
    });
    if (stop) return absl::CancelledError("interrupted");
    for (const BucketResult& result : results) {
      RETURN_IF_ERROR(result.status);
      verified += result.verified;
      for (const auto& [a, b] : result.edges) groups.Union(a, b);
    }
  }
  groups.Flatten();
  return verified;
}

absl::StatusOr<std::vector<NearDuplicatePair>> NearDuplicatePairs(const BandTable& table,
                                                                  const NearDuplicateOptions& options,
                                                                  const ReadShingles& read) {
  std::vector<std::pair<uint32_t, uint32_t>> candidates;
  for (int band = 0; band < table.bands(); ++band) {
    const std::vector<Entry> entries = SortedEntries(table, band, options.threads);
    for (const Bucket& bucket : BucketsOf(entries)) {
      for (size_t i = bucket.begin; i < bucket.end; ++i) {
        for (size_t j = i + 1; j < bucket.end; ++j)
          candidates.emplace_back(table.document(entries[i].index), table.document(entries[j].index));
      }
    }
    std::sort(candidates.begin(), candidates.end());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  }
  std::vector<NearDuplicatePair> pairs(candidates.size());
  std::mutex mutex;
  absl::Status status;
  ParallelFor(options.threads, candidates.size(), [&](int64_t i) {
    const absl::StatusOr<ShingleSet> a = read(candidates[i].first), b = read(candidates[i].second);
    if (!a.ok() || !b.ok()) {
      std::lock_guard lock(mutex);
      status.Update(a.ok() ? b.status() : a.status());
      return;
    }
    pairs[i] = {candidates[i].first, candidates[i].second, OverlapOf(*a, *b)};
  });
  RETURN_IF_ERROR(status);
  std::erase_if(pairs, [&](const NearDuplicatePair& pair) {
    return options.verify && pair.overlap.jaccard() < options.jaccard_threshold;
  });
  return pairs;
}

}  // namespace millrace::data
