#include "executor/engine/bundle_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "executor/engine/run_log.h"
#include "executor/engine/stage_index.h"
#include "executor/engine/tar.h"

namespace millrace {
namespace {

constexpr char kFirstName[] = "millrace.txt";
constexpr char kFirstLine[] = "millrace.run.v1";

class Exporter {
 public:
  Exporter(Store& store, TarWriter& tar) : store_(store), tar_(tar) {}

  absl::Status AddTree(const OutputTree& output, bool& whole) {
    ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(output.digest()));
    if (store_.remotes != nullptr && !store_.cas->HasTree(digest))
      store_.remotes->FetchTrees({digest}, {}).status().IgnoreError();
    const Cas::Hold hold(*store_.cas);
    if (!store_.cas->HasTree(digest)) {
      whole = false;
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const Tree tree, store_.cas->GetTree(digest));
    for (const TreeFile& file : tree.files) RETURN_IF_ERROR(AddBlob(file.digest, file.size_bytes));
    return AddBlob(digest, -1);
  }

  absl::Status AddEntry(const Digest& key, BundleReport& report) {
    ASSIGN_OR_RETURN(const FoundEntry found, store_.cache->Lookup(key, {.check_bytes = false}));
    if (found.state == EntryState::kAbsent) return absl::OkStatus();
    bool whole = true;
    for (const OutputTree& output : found.entry.output()) {
      RETURN_IF_ERROR(AddTree(output, whole));
      states_.insert(output.digest());
    }
    entries_.emplace(key, found.entry);
    ++report.results;
    if (!whole) ++report.results_without_bytes;
    report.size_bytes = bytes_;
    return absl::OkStatus();
  }

  // Those that lead to a state that is among the results; nothing more of their bytes.
  absl::Status AddChains() {
    ASSIGN_OR_RETURN(const std::vector<ActionCache::Item> items, store_.cache->ListItems());
    std::set<Digest> chains;
    for (const ActionCache::Item& item : items) {
      if (item.is_segment && states_.contains(item.segment.state().digest())) chains.insert(item.key);
    }
    for (const auto& [key, entry] : entries_)
      RETURN_IF_ERROR(tar_.Add(absl::StrCat("entries/", key.Hex()), entry.SerializeAsString()));
    for (const Digest& chain : chains) {
      ASSIGN_OR_RETURN(const std::vector<SegmentEntry> segments, store_.cache->Segments(chain));
      for (size_t n = 0; n < segments.size(); ++n)
        RETURN_IF_ERROR(tar_.Add(absl::StrCat("chains/", chain.Hex(), "/", n), segments[n].SerializeAsString()));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status AddBlob(const Digest& digest, int64_t size_bytes) {
    if (!added_.insert(digest).second) return absl::OkStatus();
    const std::string name = absl::StrCat("blobs/", digest.Hex());
    const std::string path = store_.cas->BlobPath(digest);
    if (!path.empty()) {
      if (size_bytes < 0) {
        ASSIGN_OR_RETURN(size_bytes, FileSize(path));
      }
      bytes_ += size_bytes;
      return tar_.AddFile(name, path, size_bytes);
    }
    ASSIGN_OR_RETURN(const std::string bytes, store_.cas->Get(digest));
    bytes_ += static_cast<int64_t>(bytes.size());
    return tar_.Add(name, bytes);
  }

  Store& store_;
  TarWriter& tar_;
  std::set<Digest> added_;
  std::set<std::string> states_;
  std::map<Digest, ActionEntry> entries_;
  int64_t bytes_ = 0;
};

// The file that the reader is at, into the storage.
absl::Status TakeBlob(Cas& cas, TarReader& tar, const TarReader::File& file, const Digest& digest) {
  const absl::Status damaged =
      absl::DataLossError(absl::StrCat("blob ", digest.ToString(), " in the file is damaged\n  fix: export it again"));
  const Cas::Hold hold(cas);
  if (Cas::IsSmall(file.size_bytes)) {
    ASSIGN_OR_RETURN(const std::string bytes, tar.ReadAll());
    if (Digest::Of(bytes) != digest) return damaged;
    return cas.Put(bytes).status();
  }
  const std::string path = cas.TemporaryPath();
  ASSIGN_OR_RETURN(FileWriter writer, FileWriter::Create(path));
  auto remove = absl::MakeCleanup([&] { ::unlink(path.c_str()); });
  Sha256 hash;
  std::string buffer(1 << 20, '\0');
  while (true) {
    ASSIGN_OR_RETURN(const size_t n, tar.Read(buffer.data(), buffer.size()));
    if (n == 0) break;
    hash.Update({buffer.data(), n});
    writer.Append({buffer.data(), n});
  }
  RETURN_IF_ERROR(writer.Close());
  if (Digest{hash.Finish()} != digest) return damaged;
  RETURN_IF_ERROR(cas.Adopt(path, digest));
  std::move(remove).Cancel();
  return absl::OkStatus();
}

bool IsRunId(absl::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef-") == absl::string_view::npos;
}

}  // namespace

absl::StatusOr<std::vector<RunResultKey>> ResultsOfRun(const Home& home, const std::string& run_id,
                                                       std::string* pipeline) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RunLogReader> log, RunLogReader::Open(home.Run(run_id)));
  std::map<std::string, std::string> kinds;
  std::map<std::string, RunResultKey> results;
  std::vector<std::string> order;
  RETURN_IF_ERROR(log->Read([&](const RunEvent& event) {
    if (event.has_run_started()) {
      if (pipeline != nullptr) *pipeline = event.run_started().pipeline();
      for (const StageInfo& stage : event.run_started().stage()) {
        kinds[stage.name()] = stage.kind();
        order.push_back(stage.name());
      }
    }
    const StageChanged& changed = event.stage_changed();
    if (!changed.has_entry()) return;
    const absl::StatusOr<Digest> key = Digest::ParseHex(changed.key());
    if (key.ok()) results[changed.stage()] = {changed.stage(), kinds[changed.stage()], *key};
  }));
  std::vector<RunResultKey> in_order;
  for (const std::string& stage : order) {
    if (const auto found = results.find(stage); found != results.end()) in_order.push_back(found->second);
  }
  return in_order;
}

absl::StatusOr<BundleReport> ExportRun(Store& store, const std::string& run_id, const std::string& path) {
  BundleReport report;
  report.run_id = run_id;
  ASSIGN_OR_RETURN(const std::vector<RunResultKey> results, ResultsOfRun(store.home, run_id, &report.pipeline));
  const std::string aside = absl::StrCat(path, ".", ::getpid(), ".tmp");
  ASSIGN_OR_RETURN(const std::unique_ptr<TarWriter> tar, TarWriter::Create(aside));
  auto remove = absl::MakeCleanup([&] { ::unlink(aside.c_str()); });
  RETURN_IF_ERROR(
      tar->Add(kFirstName, absl::StrCat(kFirstLine, "\nrun ", run_id, "\npipeline ", report.pipeline, "\n")));
  Exporter exporter(store, *tar);
  for (const RunResultKey& result : results) RETURN_IF_ERROR(exporter.AddEntry(result.key, report));
  if (report.results == 0) return absl::NotFoundError(absl::StrCat("nothing is left of the results of run ", run_id));
  RETURN_IF_ERROR(exporter.AddChains());
  const std::string folder = store.home.Run(run_id);
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(folder));
  for (const std::string& file : files) {
    // The log of a run that goes on grows: what is there now.
    ASSIGN_OR_RETURN(const std::string content, ReadFile(JoinPath(folder, file)));
    RETURN_IF_ERROR(tar->Add(absl::StrCat("runs/", run_id, "/", file), content));
  }
  RETURN_IF_ERROR(tar->Close());
  RETURN_IF_ERROR(RenameFile(aside, path));
  std::move(remove).Cancel();
  return report;
}

absl::StatusOr<BundleReport> ImportRun(Store& store, const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<TarReader> tar, TarReader::Open(path));
  const auto not_one = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not a run that was exported: ", why, "\n  fix: millrace export RUN FILE makes one"));
  };
  const absl::StatusOr<absl::optional<TarReader::File>> first = tar->Next();
  if (!first.ok()) return absl::IsDataLoss(first.status()) ? not_one(first.status().message()) : first.status();
  if (!first->has_value() || (*first)->name != kFirstName)
    return not_one(absl::StrCat("it does not begin with ", kFirstName));
  BundleReport report;
  ASSIGN_OR_RETURN(const std::string head, tar->ReadAll());
  const std::vector<std::string> lines = absl::StrSplit(head, '\n');
  if (lines[0] != kFirstLine) return not_one(absl::StrCat("it is of another version, \"", lines[0], "\""));
  for (absl::string_view line : lines) {
    if (absl::ConsumePrefix(&line, "run ")) report.run_id = std::string(line);
    if (absl::ConsumePrefix(&line, "pipeline ")) report.pipeline = std::string(line);
  }
  if (!IsRunId(report.run_id)) return not_one("it names no run");

  const std::string aside = absl::StrCat(store.home.Runs(), "/.", report.run_id, ".", ::getpid(), ".tmp");
  const auto remove = absl::MakeCleanup([&] { RemoveTree(aside).IgnoreError(); });
  while (true) {
    ASSIGN_OR_RETURN(const absl::optional<TarReader::File> file, tar->Next());
    if (!file.has_value()) break;
    const std::vector<std::string> parts = absl::StrSplit(file->name, '/');
    const absl::StatusOr<Digest> digest = Digest::ParseHex(parts.size() > 1 ? parts[1] : "");
    if (parts[0] == "blobs" && parts.size() == 2 && digest.ok()) {
      RETURN_IF_ERROR(TakeBlob(*store.cas, *tar, *file, *digest));
      report.size_bytes += file->size_bytes;
    } else if (parts[0] == "entries" && parts.size() == 2 && digest.ok()) {
      ASSIGN_OR_RETURN(const std::string bytes, tar->ReadAll());
      ActionEntry entry;
      if (!entry.ParseFromString(bytes)) return absl::DataLossError("an entry in the file is damaged");
      const Cas::Hold hold(*store.cas);
      RETURN_IF_ERROR(store.cache->Put(*digest, entry, entry.kind()));
      ++report.results;
      for (const Digest& tree : TreesOf(entry)) {
        if (store.cas->HasTree(tree)) continue;
        ++report.results_without_bytes;
        break;
      }
    } else if (parts[0] == "chains" && parts.size() == 3 && digest.ok()) {
      ASSIGN_OR_RETURN(const std::string bytes, tar->ReadAll());
      SegmentEntry segment;
      if (!segment.ParseFromString(bytes)) return absl::DataLossError("a segment in the file is damaged");
      RETURN_IF_ERROR(store.cache->PutSegment(*digest, segment, "train"));
    } else if (parts[0] == "runs" && parts.size() > 2 && parts[1] == report.run_id &&
               !absl::StrContains(file->name, "..")) {
      ASSIGN_OR_RETURN(const std::string content, tar->ReadAll());
      const std::string to = JoinPath(aside, file->name.substr(parts[0].size() + parts[1].size() + 2));
      RETURN_IF_ERROR(CreateDirectories(to.substr(0, to.rfind('/'))));
      RETURN_IF_ERROR(WriteFile(to, content));
    } else {
      return not_one(absl::StrCat("\"", file->name, "\" is in it"));
    }
  }
  if (!IsDirectory(store.home.Run(report.run_id)) && IsDirectory(aside))
    RETURN_IF_ERROR(RenameFile(aside, store.home.Run(report.run_id)));
  // So that `explain` has something to compare with.
  const absl::StatusOr<std::vector<RunResultKey>> results = ResultsOfRun(store.home, report.run_id);
  if (!results.ok() || report.pipeline.empty()) return report;
  ASSIGN_OR_RETURN(const std::unique_ptr<StageIndex> index, StageIndex::Open(store.home.Index(report.pipeline)));
  for (const RunResultKey& result : *results) index->Add(result.stage, result.kind, result.key);
  RETURN_IF_ERROR(index->Flush());
  return report;
}

}  // namespace millrace
