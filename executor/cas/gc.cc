#include "executor/cas/gc.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"

namespace millrace {
namespace {

using Item = ActionCache::Item;

constexpr double kMinRebuildSeconds = 0.1;

struct Candidate {
  const Item* item;
  bool pinned;
  int64_t last_used_unix_micros;
  std::vector<std::pair<Digest, Tree>> trees;
  bool whole = true;
  double price = 0;  // see gc.h
};

void AddTrees(Cas& cas, int64_t now_unix_micros, Candidate& candidate) {
  int64_t size_bytes = 0;
  for (const Digest& digest : candidate.item->trees) {
    absl::StatusOr<Tree> tree = cas.GetTree(digest);
    candidate.whole &= tree.ok();
    if (!tree.ok()) continue;
    size_bytes += tree->size_bytes();
    candidate.trees.emplace_back(digest, *std::move(tree));
  }
  const double idle_seconds =
      static_cast<double>(std::max<int64_t>(0, now_unix_micros - candidate.last_used_unix_micros)) * 1e-6;
  candidate.price =
      idle_seconds * static_cast<double>(size_bytes) / std::max(kMinRebuildSeconds, candidate.item->rebuild_seconds);
}

using State = std::pair<int64_t, std::string>;  // step, digest

State Begin(const Item& item) { return {item.segment.first(), item.segment.parent()}; }
State End(const Item& item) { return {item.segment.last(), item.segment.state().digest()}; }

// Of one chain: those that lead to the last states of each run, back from the states that nothing goes on from.
absl::flat_hash_set<const Item*> LastSegments(const std::vector<const Item*>& chain) {
  std::map<State, std::vector<const Item*>> to;
  std::set<State> gone_on_from;
  for (const Item* item : chain) {
    to[End(*item)].push_back(item);
    gone_on_from.insert(Begin(*item));
  }
  absl::flat_hash_set<const Item*> last;
  for (const auto& [end, segments] : to) {
    if (gone_on_from.contains(end)) continue;
    std::set<State> states = {end};
    const int keep_last = std::max(1, segments[0]->segment.keep_last());
    for (int kept = 0; kept < keep_last && !states.empty(); ++kept) {
      std::set<State> before;
      for (const State& state : states) {
        const auto found = to.find(state);
        if (found == to.end()) continue;  // the initial one
        for (const Item* item : found->second) {
          last.insert(item);
          before.insert(Begin(*item));
        }
      }
      states = std::move(before);
    }
  }
  return last;
}

// Segments whose states their chain no longer needs.
absl::flat_hash_set<const Item*> SupersededSegments(const std::vector<Item>& items) {
  std::map<Digest, std::vector<const Item*>> chains;
  for (const Item& item : items) {
    if (item.is_segment && item.segment.first() < item.segment.last()) chains[item.key].push_back(&item);
  }
  absl::flat_hash_set<const Item*> superseded;
  for (const auto& [key, chain] : chains) {
    const absl::flat_hash_set<const Item*> last = LastSegments(chain);
    for (const Item* item : chain) {
      const SegmentEntry& segment = item->segment;
      const bool multiple = segment.keep_every_steps() > 0 && segment.last() % segment.keep_every_steps() == 0;
      if (!last.contains(item) && !multiple) superseded.insert(item);
    }
  }
  return superseded;
}

}  // namespace

absl::StatusOr<GcReport> CollectGarbage(Cas& cas, ActionCache& cache, const GcOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<Item> items, cache.ListItems());
  const absl::flat_hash_set<const Item*> superseded = SupersededSegments(items);

  std::vector<Candidate> candidates;
  GcReport report;
  for (const Item& item : items) {
    Candidate candidate = {.item = &item,
                           .pinned = item.created_unix_micros >= options.pinned_since_unix_micros,
                           .last_used_unix_micros = item.created_unix_micros};
    if (!item.is_segment) {
      candidate.pinned |= options.pinned.contains(item.key);
      const auto used = options.last_used_unix_micros.find(item.key);
      if (used != options.last_used_unix_micros.end())
        candidate.last_used_unix_micros = std::max(candidate.last_used_unix_micros, used->second);
    }
    if (superseded.contains(&item) && !candidate.pinned) {
      ++report.entries_without_bytes;
    } else {
      AddTrees(cas, options.now_unix_micros, candidate);
      candidates.push_back(std::move(candidate));
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    if (a.pinned != b.pinned) return a.pinned;
    return a.price < b.price;
  });

  absl::flat_hash_set<Digest> live;
  int64_t live_bytes = 0;
  bool full = false;
  for (const Candidate& candidate : candidates) {
    std::vector<Digest> blobs;
    int64_t more_bytes = 0;
    for (const auto& [digest, tree] : candidate.trees) {
      if (!live.contains(digest)) blobs.push_back(digest);
      for (const TreeFile& file : tree.files) {
        if (live.contains(file.digest)) continue;
        blobs.push_back(file.digest);
        more_bytes += file.size_bytes;
      }
    }
    full |= !candidate.pinned && live_bytes + more_bytes > options.max_bytes;
    if (!candidate.whole || (full && !candidate.pinned)) {
      ++report.entries_without_bytes;
      continue;
    }
    live_bytes += more_bytes;
    live.insert(blobs.begin(), blobs.end());
    report.kept_trees.insert(candidate.item->trees.begin(), candidate.item->trees.end());
    ++report.entries_kept;
  }
  ASSIGN_OR_RETURN(report.bytes_before, cas.TotalBytes());
  ASSIGN_OR_RETURN(report.bytes_freed, cas.Sweep(live, options.dry_run));
  return report;
}

}  // namespace millrace
