// Publishing a tree is: hash in parallel, rename the large files into place, then one append to small.log with the
// small ones and the tree itself. Whatever ends in the middle leaves blobs that nothing names.
#include "executor/cas/cas.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/status_macros.h"
#include "executor/cas/file_memo.h"

namespace millrace {
namespace {

constexpr int64_t kMaxSmallBytes = 4096;
// Beyond this a start would spend too long reading the log's headers: further blobs get files of their own.
constexpr int64_t kMaxSmallLogBytes = int64_t{256} << 20;
constexpr uint32_t kSmallBlob = 1;     // digest, then the bytes
constexpr uint32_t kSmallDropped = 2;  // digest
constexpr size_t kDigestBytes = 32;

absl::string_view AsBytes(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

absl::Status MakeFolder(const std::string& path) {
  if (::mkdir(path.c_str(), 0777) == 0 || errno == EEXIST) return absl::OkStatus();
  if (errno == ENOENT) return CreateDirectories(path);
  return ErrnoError(errno, "create folder", path);
}

// Returns an errno, or 0.
int WriteWhole(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno != EINTR) return errno;
    if (n > 0) bytes.remove_prefix(n);
  }
  return 0;
}

// A new file with this content and mode, whatever the umask.
absl::Status WriteNewFile(const std::string& path, absl::string_view content, mode_t mode) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return errno == EEXIST ? absl::OkStatus() : ErrnoError(errno, "create", path);
  const int error = WriteWhole(fd, content);
  ::close(fd);
  if (error == 0) return absl::OkStatus();
  ::unlink(path.c_str());
  return ErrnoError(error, "write", path);
}

}  // namespace

absl::Status CloneFile(const std::string& from, const std::string& to, bool executable) {
  const int in = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
  if (in < 0) return ErrnoError(errno, "open", from);
  const int out = ::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, executable ? 0777 : 0666);
  if (out < 0) {
    const int error = errno;
    ::close(in);
    return ErrnoError(error, "create", to);
  }
  int error = 0;
  if (::ioctl(out, FICLONE, in) != 0) {
    while (true) {
      const ssize_t n = ::copy_file_range(in, nullptr, out, nullptr, 1 << 30, 0);
      if (n == 0) break;
      if (n > 0 || errno == EINTR) continue;
      error = errno;
      break;
    }
    if (error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP) {
      error = 0;
      ::lseek(in, 0, SEEK_SET);
      ::lseek(out, 0, SEEK_SET);
      std::vector<char> buffer(1 << 18);
      while (error == 0) {
        const ssize_t n = ::read(in, buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) error = errno;
        if (n <= 0) break;
        error = WriteWhole(out, {buffer.data(), static_cast<size_t>(n)});
      }
    }
  }
  ::close(in);
  ::close(out);
  if (error == 0) return absl::OkStatus();
  ::unlink(to.c_str());
  return ErrnoError(error, absl::StrCat("copy ", from, " to"), to);
}

struct Cas::ScannedFile {
  std::string absolute_path;
  TreeFile file;
  std::pair<dev_t, ino_t> inode;
  bool shared = false;  // a symbolic link, or one of several hard links: not ours to move
  std::string content;  // of a small one
  absl::Status status;
};

absl::StatusOr<std::unique_ptr<Cas>> Cas::Open(const std::string& folder) {
  std::unique_ptr<Cas> cas(new Cas(folder));
  RETURN_IF_ERROR(CreateDirectories(JoinPath(folder, "blobs")));
  RETURN_IF_ERROR(MakeFolder(JoinPath(folder, "tmp")));
  ASSIGN_OR_RETURN(cas->small_log_, RecordLog::Open(JoinPath(folder, "small.log")));
  const std::string lock = JoinPath(folder, "lock");
  cas->lock_fd_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (cas->lock_fd_ < 0) return ErrnoError(errno, "open", lock);
  RETURN_IF_ERROR(cas->RefreshSmall());
  return cas;
}

Cas::~Cas() {
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

Cas::Hold::Hold(Cas& cas) : cas_(cas) {
  std::lock_guard lock(cas_.lock_mutex_);
  if (cas_.num_holds_++ > 0) return;
  while (::flock(cas_.lock_fd_, LOCK_SH) != 0 && errno == EINTR) {
  }
}

Cas::Hold::~Hold() {
  std::lock_guard lock(cas_.lock_mutex_);
  if (--cas_.num_holds_ == 0) ::flock(cas_.lock_fd_, LOCK_UN);
}

absl::Status Cas::LockExclusively() {
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (::flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoError(errno, "lock", folder_);
    if (absl::Now() > deadline)
      return absl::UnavailableError(absl::StrCat(folder_, " is in use by another process\n  fix: try again later"));
    absl::SleepFor(absl::Milliseconds(20));
  }
  return absl::OkStatus();
}

void Cas::UnlockExclusively() { ::flock(lock_fd_, LOCK_UN); }

std::string Cas::FilePath(const Digest& digest) const {
  const std::string hex = digest.Hex();
  return absl::StrCat(folder_, "/blobs/", hex.substr(0, 2), "/", hex);
}

std::string Cas::TemporaryPath() {
  static std::atomic<int64_t> counter = 0;
  return absl::StrCat(folder_, "/tmp/", ::getpid(), ".", counter++);
}

// Under mutex_.
void Cas::Visit(const RecordLog::Record& record) {
  if (record.payload.size() < kDigestBytes) return;
  Digest digest;
  std::memcpy(digest.bytes.data(), record.payload.data(), kDigestBytes);
  if (record.type == kSmallBlob)
    small_[digest] = {record.offset, static_cast<int64_t>(record.payload.size() - kDigestBytes)};
  if (record.type == kSmallDropped) small_.erase(digest);
}

absl::Status Cas::RefreshSmall() {
  std::lock_guard lock(mutex_);
  return small_log_->Refresh([this](const RecordLog::Record& record) { Visit(record); }, [this] { small_.clear(); });
}

absl::optional<Cas::Small> Cas::FindSmall(const Digest& digest) {
  std::shared_lock lock(mutex_);
  const auto found = small_.find(digest);
  if (found == small_.end()) return absl::nullopt;
  return found->second;
}

bool Cas::Has(const Digest& digest) {
  if (FindSmall(digest).has_value()) return true;
  if (FileExists(FilePath(digest))) return true;
  return RefreshSmall().ok() && FindSmall(digest).has_value();
}

std::string Cas::BlobPath(const Digest& digest) {
  std::string path = FilePath(digest);
  return FileExists(path) ? path : "";
}

void Cas::Drop(const Digest& digest) {
  ::unlink(FilePath(digest).c_str());
  std::lock_guard lock(mutex_);
  if (small_.erase(digest) == 0) return;
  RecordLog::Batch batch;
  batch.Add(kSmallDropped, AsBytes(digest));
  small_log_->Append(batch).IgnoreError();
}

absl::StatusOr<std::string> Cas::Get(const Digest& digest) {
  absl::StatusOr<std::string> content = absl::NotFoundError("");
  absl::optional<Small> small = FindSmall(digest);
  if (!small.has_value()) {
    content = ReadFile(FilePath(digest));
    if (absl::IsNotFound(content.status()) && RefreshSmall().ok()) small = FindSmall(digest);
  }
  if (small.has_value()) {
    content = small_log_->At(small->offset);
    if (content.ok()) content->erase(0, kDigestBytes);
  }
  if (absl::IsNotFound(content.status())) return absl::NotFoundError(absl::StrCat("no blob ", digest.ToString()));
  if (content.ok() && Digest::Of(*content) == digest) return content;
  if (!content.ok() && !absl::IsDataLoss(content.status())) return content;
  Drop(digest);
  return absl::DataLossError(absl::StrCat("blob ", digest.ToString(), " was damaged and has been dropped"));
}

absl::Status Cas::PutSmall(const std::vector<std::pair<Digest, std::string>>& blobs) {
  std::lock_guard lock(mutex_);
  const auto visit = [this](const RecordLog::Record& record) { Visit(record); };
  return small_log_
      ->Update(
          visit,
          [&] {
            RecordLog::Batch batch;
            absl::flat_hash_set<Digest> added;
            for (const auto& [digest, content] : blobs) {
              if (!small_.contains(digest) && added.insert(digest).second)
                batch.Add(kSmallBlob, absl::StrCat(AsBytes(digest), content));
            }
            return batch;
          },
          [this] { small_.clear(); })
      .status();
}

absl::StatusOr<Digest> Cas::Put(absl::string_view bytes) {
  const Digest digest = Digest::Of(bytes);
  if (bytes.size() <= kMaxSmallBytes && small_log_->size_bytes() < kMaxSmallLogBytes) {
    RETURN_IF_ERROR(PutSmall({{digest, std::string(bytes)}}));
    return digest;
  }
  const std::string temporary = TemporaryPath();
  RETURN_IF_ERROR(WriteNewFile(temporary, bytes, 0444));
  RETURN_IF_ERROR(RenameIntoPlace(temporary, digest));
  return digest;
}

// Renames over what is there: those bytes are equal, unless power was lost, and then these are the good ones.
absl::Status Cas::RenameIntoPlace(const std::string& from, const Digest& digest) {
  const std::string to = FilePath(digest);
  if (::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  if (errno == ENOENT) {
    RETURN_IF_ERROR(MakeFolder(to.substr(0, to.rfind('/'))));
    if (::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  }
  return ErrnoError(errno, absl::StrCat("rename ", from, " to"), to);
}

absl::Status Cas::Adopt(const std::string& temporary, const Digest& digest) {
  return PutFileBlob(temporary, /*move=*/true, digest);
}

bool Cas::IsSmall(int64_t size_bytes) { return size_bytes <= kMaxSmallBytes; }

absl::Status Cas::PutFileBlob(const std::string& path, bool move, const Digest& digest) {
  if (move) {
    if (::chmod(path.c_str(), 0444) != 0) return ErrnoError(errno, "make read-only", path);
    return RenameIntoPlace(path, digest);
  }
  const std::string temporary = TemporaryPath();
  RETURN_IF_ERROR(CloneFile(path, temporary, /*executable=*/false));
  if (::chmod(temporary.c_str(), 0444) != 0) return ErrnoError(errno, "make read-only", temporary);
  return RenameIntoPlace(temporary, digest);
}

absl::Status Cas::Scan(const std::string& folder, const std::string& relative, std::vector<ScannedFile>& files,
                       std::vector<std::string>& empty_folders) {
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return ErrnoError(errno, "open", folder);
  absl::Status status;
  bool empty = true;
  std::vector<std::string> folders;
  while (const dirent* entry = ::readdir(dir)) {
    const absl::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    empty = false;
    ScannedFile scanned;
    scanned.absolute_path = absl::StrCat(folder, "/", name);
    scanned.file.path = relative.empty() ? std::string(name) : absl::StrCat(relative, "/", name);
    struct stat s;
    if (::fstatat(::dirfd(dir), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0) {
      status = ErrnoError(errno, "stat", scanned.absolute_path);
      break;
    }
    if (S_ISDIR(s.st_mode)) {
      folders.push_back(std::string(name));
      continue;
    }
    scanned.shared = S_ISLNK(s.st_mode) || s.st_nlink > 1;
    if (S_ISLNK(s.st_mode) && ::fstatat(::dirfd(dir), entry->d_name, &s, 0) != 0) {
      status = absl::InvalidArgumentError(
          absl::StrCat("output \"", scanned.file.path, "\" is a symbolic link to nothing\n  fix: write a file"));
      break;
    }
    if (!S_ISREG(s.st_mode)) {
      status = absl::InvalidArgumentError(
          absl::StrCat("output \"", scanned.file.path, "\" is ",
                       S_ISDIR(s.st_mode) ? "a symbolic link to a folder" : "neither a file nor a folder",
                       "\n  why: an output is made of files\n  fix: write files, or link to each of them"));
      break;
    }
    scanned.inode = {s.st_dev, s.st_ino};
    scanned.file.size_bytes = s.st_size;
    scanned.file.executable = (s.st_mode & 0100) != 0;
    files.push_back(std::move(scanned));
  }
  ::closedir(dir);
  RETURN_IF_ERROR(status);
  if (empty && !relative.empty()) empty_folders.push_back(relative);
  for (const std::string& name : folders) {
    RETURN_IF_ERROR(Scan(absl::StrCat(folder, "/", name), relative.empty() ? name : absl::StrCat(relative, "/", name),
                         files, empty_folders));
  }
  return absl::OkStatus();
}

absl::Status Cas::PutScanned(const KnownInodes& known, ScannedFile& file) {
  if (file.file.size_bytes <= kMaxSmallBytes && small_log_->size_bytes() < kMaxSmallLogBytes) {
    ASSIGN_OR_RETURN(file.content, ReadFile(file.absolute_path));
    file.file.digest = Digest::Of(file.content);
    file.file.size_bytes = file.content.size();
    return absl::OkStatus();
  }
  if (const auto found = known.find(file.inode); found != known.end()) {
    file.file.digest = found->second;
    if (FileExists(FilePath(file.file.digest))) return absl::OkStatus();
  } else {
    ASSIGN_OR_RETURN(const HashedFile hashed, HashFile(file.absolute_path));
    file.file.digest = hashed.digest;
    file.file.size_bytes = hashed.stamp.size_bytes;
  }
  return PutFileBlob(file.absolute_path, /*move=*/!file.shared, file.file.digest);
}

absl::StatusOr<PublishedTree> Cas::PutTree(const std::string& folder, int threads,
                                           const std::function<KnownInodes()>& known) {
  std::vector<ScannedFile> files;
  PublishedTree published;
  RETURN_IF_ERROR(Scan(folder, "", files, published.tree.empty_folders));
  std::sort(published.tree.empty_folders.begin(), published.tree.empty_folders.end());
  std::sort(files.begin(), files.end(),
            [](const ScannedFile& a, const ScannedFile& b) { return a.file.path < b.file.path; });
  KnownInodes known_inodes;
  if (known != nullptr && std::any_of(files.begin(), files.end(), [](const ScannedFile& f) { return f.shared; }))
    known_inodes = known();
  // What links point to is still there while they are read: files that are moved come after them.
  for (const bool shared : {true, false}) {
    std::vector<ScannedFile*> batch;
    int64_t batch_bytes = 0;
    for (ScannedFile& file : files) {
      if (file.shared != shared) continue;
      batch.push_back(&file);
      batch_bytes += file.file.size_bytes;
    }
    ParallelFor(batch_bytes <= kMaxSmallBytes ? 1 : threads, batch.size(),
                [&](int64_t i) { batch[i]->status = PutScanned(known_inodes, *batch[i]); });
  }
  std::vector<std::pair<Digest, std::string>> small;
  for (ScannedFile& file : files) {
    RETURN_IF_ERROR(file.status);
    if (file.file.size_bytes <= kMaxSmallBytes && (!file.content.empty() || file.file.size_bytes == 0))
      small.emplace_back(file.file.digest, std::move(file.content));
    published.tree.files.push_back(std::move(file.file));
  }
  std::string canonical = published.tree.Canonical();
  published.digest = Digest::Of(canonical);
  if (canonical.size() > kMaxSmallBytes) {
    RETURN_IF_ERROR(Put(canonical).status());
  } else {
    small.emplace_back(published.digest, std::move(canonical));
  }
  RETURN_IF_ERROR(PutSmall(small));
  return published;
}

absl::StatusOr<Tree> Cas::GetTree(const Digest& digest) {
  ASSIGN_OR_RETURN(const std::string canonical, Get(digest));
  return Tree::Parse(canonical);
}

bool Cas::HasTree(const Digest& digest) {
  // A small tree's record has a checksum: whether it is there needs no hashing.
  absl::StatusOr<Tree> tree = absl::NotFoundError("");
  if (const absl::optional<Small> small = FindSmall(digest); small.has_value()) {
    const auto parse = [&](const RecordLog::Record& record) {
      tree = Tree::Parse(record.payload.substr(kDigestBytes));
    };
    if (!small_log_->View(small->offset, parse).ok()) return false;
  } else {
    tree = GetTree(digest);
  }
  const auto is_there = [this](const TreeFile& file) {
    if (FindSmall(file.digest).has_value()) return true;
    struct stat s;
    if (::stat(FilePath(file.digest).c_str(), &s) != 0)
      return RefreshSmall().ok() && FindSmall(file.digest).has_value();
    // A loss of power likes to leave empty files.
    if (s.st_size != file.size_bytes) Drop(file.digest);
    return s.st_size == file.size_bytes;
  };
  return tree.ok() && std::all_of(tree->files.begin(), tree->files.end(), is_there);
}

absl::Status Cas::VerifyTree(const Digest& digest, int threads, const std::atomic<int>* stop) {
  ASSIGN_OR_RETURN(const Tree tree, GetTree(digest));
  std::vector<absl::Status> status(tree.files.size());
  ParallelFor(threads, tree.files.size(), [&](int64_t i) {
    const TreeFile& file = tree.files[i];
    if (FindSmall(file.digest).has_value()) {
      status[i] = Get(file.digest).status();
      return;
    }
    const absl::StatusOr<HashedFile> hashed = HashFile(FilePath(file.digest), stop);
    status[i] = hashed.status();
    if (!hashed.ok() || hashed->digest == file.digest) return;
    Drop(file.digest);
    status[i] = absl::DataLossError(absl::StrCat("blob ", file.digest.ToString(), " was damaged and has been dropped"));
  });
  for (const absl::Status& s : status) RETURN_IF_ERROR(s);
  return absl::OkStatus();
}

absl::Status Cas::WriteOut(const TreeFile& file, const std::string& path, MaterializeMode mode) {
  absl::optional<Small> small = FindSmall(file.digest);
  if (!small.has_value() && file.size_bytes <= kMaxSmallBytes && RefreshSmall().ok()) small = FindSmall(file.digest);
  const bool writable = mode == MaterializeMode::kCopy;
  if (small.has_value()) {
    ASSIGN_OR_RETURN(const std::string content, Get(file.digest));
    return WriteNewFile(path, content, (writable ? 0644 : 0444) | (file.executable ? 0111 : 0));
  }
  const std::string blob = FilePath(file.digest);
  if (mode == MaterializeMode::kHardLink && !file.executable) {
    if (::link(blob.c_str(), path.c_str()) == 0 || errno == EEXIST) return absl::OkStatus();
    if (errno != EMLINK && errno != EXDEV && errno != EPERM) return ErrnoError(errno, "link", blob);
  }
  const absl::Status status = CloneFile(blob, path, file.executable);
  if (absl::IsAlreadyExists(status)) return absl::OkStatus();
  RETURN_IF_ERROR(status);
  if (!writable) ::chmod(path.c_str(), file.executable ? 0555 : 0444);
  return absl::OkStatus();
}

absl::Status Cas::Materialize(const Tree& tree, const std::string& destination, MaterializeMode mode) {
  RETURN_IF_ERROR(MakeFolder(destination));
  std::set<std::string> made;
  const auto make_parents = [&](absl::string_view path) -> absl::Status {
    for (size_t slash = path.find('/'); slash != absl::string_view::npos; slash = path.find('/', slash + 1)) {
      const std::string parent(path.substr(0, slash));
      if (made.insert(parent).second) RETURN_IF_ERROR(MakeFolder(JoinPath(destination, parent)));
    }
    return absl::OkStatus();
  };
  for (const TreeFile& file : tree.files) {
    RETURN_IF_ERROR(make_parents(file.path));
    RETURN_IF_ERROR(WriteOut(file, JoinPath(destination, file.path), mode));
  }
  for (const std::string& folder : tree.empty_folders) RETURN_IF_ERROR(make_parents(absl::StrCat(folder, "/")));
  return absl::OkStatus();
}

void Cas::AddKnownInodes(const Tree& tree, KnownInodes& known) {
  for (const TreeFile& file : tree.files) {
    struct stat s;
    if (::stat(FilePath(file.digest).c_str(), &s) == 0) known[{s.st_dev, s.st_ino}] = file.digest;
  }
}

}  // namespace millrace
