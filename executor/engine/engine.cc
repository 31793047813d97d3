#include "executor/engine/engine.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "executor/engine/bundle_files.h"
#include "executor/engine/decide.h"
#include "executor/engine/home.h"
#include "executor/engine/machine.h"
#include "executor/engine/plan.h"
#include "executor/engine/run.h"

namespace millrace {
namespace {

class EngineImpl : public Engine {
 public:
  EngineImpl(EngineOptions options, Home home)
      : options_(std::move(options)),
        jobs_(options_.jobs > 0 ? options_.jobs : NumProcessors()),
        store_(std::move(home)) {}

  absl::Status Open(const ToolManifest* manifest) {
    RETURN_IF_ERROR(store_.home.Create());
    store_.threads = NumProcessors();
    const std::string boot_id = BootId();
    ASSIGN_OR_RETURN(store_.cas, Cas::Open(store_.home.Cas()));
    ASSIGN_OR_RETURN(store_.cache, ActionCache::Open(*store_.cas, boot_id, &interrupts_));
    ASSIGN_OR_RETURN(store_.memo, FileMemo::Open(store_.home.Memo(), &interrupts_));
    store_.tools =
        std::make_unique<ToolStore>(store_.home.Tools(), manifest, store_.memo.get(), boot_id, store_.threads);
    if (options_.caches.empty()) return absl::OkStatus();
    std::vector<std::unique_ptr<RemoteCache>> caches;
    for (const HttpCacheConfig& config : options_.caches) {
      ASSIGN_OR_RETURN(caches.emplace_back(), MakeHttpCache(config));
    }
    store_.remotes = std::make_unique<RemoteStore>(std::move(caches), *store_.cas);
    ASSIGN_OR_RETURN(store_.uploads, Uploader::Open(*store_.remotes, *store_.cache, store_.home.Uploads()));
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<StagePlan>> Plan(const ResolvedPipeline& pipeline) override {
    return MakePlan(store_, pipeline, options_);
  }

  absl::StatusOr<RunResult> Run(const ResolvedPipeline& pipeline, const EventSink& sink) override {
    return PipelineRun(store_, pipeline, options_, jobs_, interrupts_, sink).Execute();
  }

  void Interrupt() override { ++interrupts_; }

  absl::StatusOr<std::string> Materialize(const OutputTree& output) override {
    ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(output.digest()));
    std::string folder = JoinPath(store_.home.Exposed(), digest.Hex());
    if (IsDirectory(folder)) return folder;
    if (store_.remotes != nullptr && !store_.cas->HasTree(digest))
      store_.remotes->FetchTrees({digest}, {}).status().IgnoreError();
    return LayOut(output, digest, folder);
  }

  absl::Status Expose(const OutputTree& output, const std::string& path) override {
    ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(output.digest()));
    const std::string folder = JoinPath(store_.home.Exposed(), digest.Hex());
    if (!IsDirectory(folder)) RETURN_IF_ERROR(LayOut(output, digest, folder).status());
    std::string target(4096, '\0');
    const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
    if (n > 0 && absl::string_view(target.data(), n) == folder) return absl::OkStatus();
    if (n < 0 && ::symlink(folder.c_str(), path.c_str()) == 0) return absl::OkStatus();
    RETURN_IF_ERROR(CreateDirectories(path.substr(0, path.rfind('/'))));
    const std::string aside = absl::StrCat(path, ".", ::getpid(), ".tmp");
    ::unlink(aside.c_str());
    if (::symlink(folder.c_str(), aside.c_str()) != 0) return ErrnoError(errno, "link", aside);
    return RenameFile(aside, path);
  }

  absl::StatusOr<std::vector<std::string>> WriteLocks(const ResolvedPipeline& pipeline) override {
    std::set<std::string> written;
    for (const ResolvedStage& stage : pipeline.stages) {
      for (const ExternalInput& input : stage.external_inputs) {
        if (input.lock.empty()) continue;
        ASSIGN_OR_RETURN(const DigestedInput digested, DigestInput(input, *store_.memo, store_.threads));
        RETURN_IF_ERROR(WriteLock(input, digested.tree));
        written.insert(input.lock);
      }
    }
    RETURN_IF_ERROR(store_.memo->Flush());
    return std::vector<std::string>(written.begin(), written.end());
  }

  absl::StatusOr<HomeGcReport> CollectGarbage(const HomeGcOptions& options) override {
    return CollectHomeGarbage(store_.home, *store_.cas, *store_.cache, *store_.tools, options);
  }

  absl::StatusOr<int> PinRun(const std::string& name, const std::string& run_id) override {
    ASSIGN_OR_RETURN(const std::vector<RunResultKey> results, ResultsOfRun(store_.home, run_id));
    Pin pin = {.name = name, .run_id = run_id};
    for (const RunResultKey& result : results) pin.keys.push_back(result.key);
    RETURN_IF_ERROR(Pin::Write(store_.home, pin));
    return static_cast<int>(pin.keys.size());
  }

  absl::Status RemovePin(const std::string& name) override { return Pin::Remove(store_.home, name); }

  absl::StatusOr<BundleReport> Export(const std::string& run_id, const std::string& path) override {
    return ExportRun(store_, run_id, path);
  }
  absl::StatusOr<BundleReport> Import(const std::string& path) override { return ImportRun(store_, path); }

 private:
  // Makes `folder` hold the tree's files.
  absl::StatusOr<std::string> LayOut(const OutputTree& output, const Digest& digest, const std::string& folder) {
    const Cas::Hold hold(*store_.cas);
    const absl::StatusOr<Tree> tree = store_.cas->GetTree(digest);
    const std::string aside = absl::StrCat(folder, ".", ::getpid(), ".tmp");
    RETURN_IF_ERROR(RemoveTree(aside));
    absl::Status status = tree.status();
    // People edit what they see, and root may write to read-only files: what is small enough is a copy of its own.
    constexpr int64_t kCopiedBytes = int64_t{256} << 20;
    if (status.ok()) {
      status = store_.cas->Materialize(
          *tree, aside, tree->size_bytes() <= kCopiedBytes ? MaterializeMode::kCopy : MaterializeMode::kHardLink);
    }
    if (status.ok()) status = RenameFile(aside, folder);
    if (status.ok() || IsDirectory(folder)) return folder;
    RemoveTree(aside).IgnoreError();
    if (!absl::IsNotFound(status) && !absl::IsDataLoss(status)) return status;
    return absl::NotFoundError(absl::StrCat("the bytes of ", output.name(), " (", output.digest(),
                                            ") are gone\n  why: garbage collection keeps what was used last\n"
                                            "  fix: run the stage again (--force)"));
  }

  const EngineOptions options_;
  const int jobs_;
  std::atomic<int> interrupts_ = 0;  // what reads files watches it
  Store store_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(EngineOptions options, const ToolManifest* manifest) {
  if (options.home.empty() || options.home[0] != '/')
    return absl::InvalidArgumentError(absl::StrCat("home \"", options.home, "\" is not an absolute path"));
  Home home(options.home);
  auto engine = std::make_unique<EngineImpl>(std::move(options), std::move(home));
  RETURN_IF_ERROR(engine->Open(manifest));
  return engine;
}

}  // namespace millrace
