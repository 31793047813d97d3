// A blob's time of last use is its file's modification time. Small blobs, which share a file, have none: when there is
// too much they all go but for those that are pinned, and are sent again.
#include "executor/agent/node_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "executor/cas/file_memo.h"

namespace millrace {
namespace {

constexpr int kHashThreads = 4;
constexpr size_t kReadBytes = 256 << 10;
constexpr absl::Duration kKeepIncoming = absl::Hours(24);
constexpr absl::Duration kSpareWhenFull = absl::Minutes(10);
constexpr size_t kTools = 16;

struct Entry {
  std::string path;
  std::string name;
  int64_t size_bytes = 0;
  absl::Time used;
};

// What lies in `folder`, by name.
std::vector<Entry> EntriesOf(const std::string& folder) {
  std::vector<Entry> entries;
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return entries;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    struct stat s;
    if (name == "." || name == ".." || ::fstatat(::dirfd(dir), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0) continue;
    entries.push_back({JoinPath(folder, name), name, s.st_size, absl::TimeFromTimespec(s.st_mtim)});
  }
  ::closedir(dir);
  return entries;
}

void TouchPath(const std::string& path) { ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0); }

}  // namespace

absl::StatusOr<std::unique_ptr<NodeStore>> NodeStore::Open(const std::string& folder) {
  std::unique_ptr<NodeStore> store(new NodeStore(folder));
  const std::string boot = ReadFile("/proc/sys/kernel/random/boot_id").value_or("");
  const std::string boot_path = JoinPath(folder, "boot");
  if (boot.empty() || ReadFile(boot_path).value_or("") != boot) {
    for (const char* part : {"cas", "tools", "incoming"}) RETURN_IF_ERROR(RemoveTree(JoinPath(folder, part)));
    RETURN_IF_ERROR(CreateDirectories(folder));
    RETURN_IF_ERROR(WriteFileAtomic(boot_path, boot));
  }
  RETURN_IF_ERROR(CreateDirectories(JoinPath(folder, "tools")));
  RETURN_IF_ERROR(CreateDirectories(JoinPath(folder, "incoming")));
  ASSIGN_OR_RETURN(store->cas_, Cas::Open(JoinPath(folder, "cas")));
  // Half laid out when the last agent ended.
  for (const Entry& entry : EntriesOf(JoinPath(folder, "tools"))) {
    if (!Digest::ParseHex(entry.name).ok()) RETURN_IF_ERROR(RemoveTree(entry.path));
  }
  return store;
}

std::string NodeStore::ToolFolder(const Digest& tree) const { return absl::StrCat(folder_, "/tools/", tree.Hex()); }
std::string NodeStore::IncomingPath(const Digest& digest) const {
  return absl::StrCat(folder_, "/incoming/", digest.Hex());
}

void NodeStore::Touch(const Digest& digest) {
  if (const std::string path = cas_->BlobPath(digest); !path.empty()) TouchPath(path);
}

std::vector<MissingBlob> NodeStore::Missing(const Digest& digest) {
  std::shared_lock lock(mutex_);
  absl::flat_hash_set<Digest> seen;
  std::vector<MissingBlob> missing;
  const auto look = [&](const Digest& blob) {
    if (!seen.insert(blob).second) return;
    if (cas_->Has(blob)) return Touch(blob);
    missing.push_back({blob, FileSize(IncomingPath(blob)).value_or(0)});
  };
  look(digest);
  const absl::StatusOr<Tree> tree = cas_->GetTree(digest);
  if (!tree.ok()) {
    if (missing.empty()) missing.push_back({digest, 0});  // it was damaged, and has been dropped
    return missing;
  }
  for (const TreeFile& file : tree->files) look(file.digest);
  return missing;
}

absl::Status NodeStore::WritePiece(const Digest& digest, int64_t size_bytes, int64_t offset, absl::string_view data) {
  const std::string path = IncomingPath(digest);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoError(errno, "create", path);
  int error = 0;
  while (error == 0 && !data.empty()) {
    const ssize_t n = ::pwrite(fd, data.data(), data.size(), offset);
    if (n < 0 && errno != EINTR) error = errno;
    if (n <= 0) continue;
    data.remove_prefix(n);
    offset += n;
  }
  if (::close(fd) != 0 && error == 0) error = errno;
  return error == 0 ? absl::OkStatus() : ErrnoError(error, "write", path);
}

absl::StatusOr<bool> NodeStore::Receive(const Digest& digest, int64_t size_bytes, int64_t offset,
                                        absl::string_view data) {
  const bool last = offset + static_cast<int64_t>(data.size()) >= size_bytes;
  std::shared_lock lock(mutex_);
  // Perhaps somebody else has sent it meanwhile.
  if (last && cas_->Has(digest)) return true;
  const absl::Status bad =
      absl::DataLossError(absl::StrCat("what came as blob ", digest.ToString(), " is something else"));
  has_grown_ = true;
  if (offset == 0 && last && Cas::IsSmall(size_bytes)) {
    if (Digest::Of(data) != digest) return bad;
    RETURN_IF_ERROR(cas_->Put(data).status());
    return true;
  }
  absl::Status written = WritePiece(digest, size_bytes, offset, data);
  if (absl::IsResourceExhausted(written)) {
    lock.unlock();
    Bound(0, kSpareWhenFull).IgnoreError();
    lock.lock();
    written = WritePiece(digest, size_bytes, offset, data);
  }
  RETURN_IF_ERROR(written);
  if (!last) return false;
  const std::string path = IncomingPath(digest);
  ASSIGN_OR_RETURN(const HashedFile hashed, HashFile(path));
  if (hashed.digest != digest) {
    ::unlink(path.c_str());
    return bad;
  }
  RETURN_IF_ERROR(cas_->Adopt(path, digest));
  return true;
}

absl::Status NodeStore::LayOut(const Digest& digest, const std::string& destination, MaterializeMode mode) {
  std::shared_lock lock(mutex_);
  ASSIGN_OR_RETURN(const Tree tree, cas_->GetTree(digest));
  return cas_->Materialize(tree, destination, mode);
}

bool NodeStore::HasTool(const Digest& tree) const { return IsDirectory(ToolFolder(tree)); }

absl::StatusOr<std::string> NodeStore::Tool(const Digest& tree) {
  const std::string folder = ToolFolder(tree);
  std::lock_guard lock(tools_mutex_);
  if (IsDirectory(folder)) {
    TouchPath(folder);
    return folder;
  }
  const std::string aside = folder + ".new";
  RETURN_IF_ERROR(RemoveTree(aside));
  if (const absl::Status laid_out = LayOut(tree, aside, MaterializeMode::kHardLink); !laid_out.ok()) {
    RemoveTree(aside).IgnoreError();
    return laid_out;
  }
  RETURN_IF_ERROR(RenameFile(aside, folder));
  return folder;
}

void NodeStore::TouchTool(const Digest& tree) { TouchPath(ToolFolder(tree)); }

absl::StatusOr<PublishedTree> NodeStore::Publish(const std::string& folder) {
  std::shared_lock lock(mutex_);
  has_grown_ = true;
  ASSIGN_OR_RETURN(PublishedTree published, cas_->PutTree(folder, kHashThreads));
  std::lock_guard pins_lock(pins_mutex_);
  pins_.insert(published.digest);
  for (const TreeFile& file : published.tree.files) pins_.insert(file.digest);
  return published;
}

void NodeStore::Unpin(const PublishedTree& published) {
  std::lock_guard lock(pins_mutex_);
  pins_.erase(published.digest);
  for (const TreeFile& file : published.tree.files) pins_.erase(file.digest);
}

absl::Status NodeStore::Read(
    const Digest& digest, int64_t offset,
    const std::function<bool(int64_t size_bytes, int64_t offset, absl::string_view data)>& use) {
  const std::string path = cas_->BlobPath(digest);
  if (path.empty()) {
    ASSIGN_OR_RETURN(const std::string content, cas_->Get(digest));
    const auto size_bytes = static_cast<int64_t>(content.size());
    use(size_bytes, std::min(offset, size_bytes), absl::string_view(content).substr(std::min(offset, size_bytes)));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int64_t size_bytes, FileSize(path));
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", path);
  std::string buffer(kReadBytes, '\0');
  int error = 0;
  while (true) {
    const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) error = errno;
    if (n <= 0 || !use(size_bytes, offset, absl::string_view(buffer).substr(0, n))) break;
    offset += n;
    if (offset >= size_bytes) break;
  }
  ::close(fd);
  return error == 0 ? absl::OkStatus() : ErrnoError(error, "read", path);
}

absl::Status NodeStore::DropOldTools(absl::Duration spare) {
  std::lock_guard lock(tools_mutex_);
  std::vector<Entry> tools = EntriesOf(JoinPath(folder_, "tools"));
  std::sort(tools.begin(), tools.end(), [](const Entry& a, const Entry& b) { return a.used > b.used; });
  for (size_t i = kTools; i < tools.size(); ++i) {
    if (absl::Now() - tools[i].used > spare) RETURN_IF_ERROR(RemoveTree(tools[i].path));
  }
  return absl::OkStatus();
}

absl::Status NodeStore::Bound(int64_t max_bytes, absl::Duration spare) {
  std::lock_guard lock(mutex_);
  has_grown_ = false;
  const absl::Time now = absl::Now();
  for (const Entry& entry : EntriesOf(JoinPath(folder_, "incoming"))) {
    if (now - entry.used > kKeepIncoming) ::unlink(entry.path.c_str());
  }
  ASSIGN_OR_RETURN(const int64_t total_bytes, cas_->TotalBytes());
  if (total_bytes <= max_bytes) return absl::OkStatus();
  RETURN_IF_ERROR(DropOldTools(std::max(spare, kKeepIncoming)));
  std::vector<Entry> blobs;
  for (const Entry& folder : EntriesOf(JoinPath(folder_, "cas/blobs"))) {
    for (Entry& blob : EntriesOf(folder.path)) blobs.push_back(std::move(blob));
  }
  std::sort(blobs.begin(), blobs.end(), [](const Entry& a, const Entry& b) { return a.used > b.used; });
  // A little more room than needed, so that the next blob does not make all of this happen again.
  const int64_t keep_bytes = max_bytes - max_bytes / 10;
  absl::flat_hash_set<Digest> live;
  {
    std::lock_guard pins_lock(pins_mutex_);
    live = pins_;
  }
  int64_t kept_bytes = 0;
  for (const Entry& blob : blobs) {
    kept_bytes += blob.size_bytes;
    const absl::StatusOr<Digest> digest = Digest::ParseHex(blob.name);
    if (digest.ok() && (kept_bytes <= keep_bytes || now - blob.used < spare)) live.insert(*digest);
  }
  return cas_->Sweep(live, /*dry_run=*/false).status();
}

}  // namespace millrace
