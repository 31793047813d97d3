#include "executor/engine/home.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

// An open lease file whose run has ended, locked; or -1.
int OpenAbandoned(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  if (fd >= 0) ::close(fd);
  return -1;
}

}  // namespace

std::vector<std::string> FolderNames(const std::string& folder) {
  std::vector<std::string> names;
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(dir);
  return names;
}

absl::Status Home::Create() const {
  for (const char* name : {"", "/tools", "/runs", "/latest", "/index", "/leases", "/work", "/exposed"}) {
    const std::string path = folder_ + name;
    if (::mkdir(path.c_str(), 0777) == 0 || errno == EEXIST) continue;
    if (const absl::Status status = CreateDirectories(path); !status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat(status.message(), "\n  why: results are kept there\n  fix: --home=DIR"));
    }
  }
  if (::access(folder_.c_str(), W_OK) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(folder_, " cannot be written: ", std::strerror(errno),
                                                    "\n  why: results are kept there\n  fix: --home=DIR"));
}

absl::Status Home::PointLatest(const std::string& pipeline, const std::string& run_id) const {
  const std::string link = Latest(pipeline);
  const std::string aside = absl::StrCat(link, ".", ::getpid(), ".tmp");
  ::unlink(aside.c_str());
  if (::symlink(absl::StrCat("../runs/", run_id).c_str(), aside.c_str()) != 0) return ErrnoError(errno, "link", aside);
  return RenameFile(aside, link);
}

std::set<std::string> Home::LatestRuns() const {
  std::set<std::string> runs;
  for (const std::string& pipeline : FolderNames(folder_ + "/latest")) {
    std::string target(4096, '\0');
    const ssize_t n = ::readlink(Latest(pipeline).c_str(), target.data(), target.size());
    if (n > 0) runs.insert(std::string(BaseName({target.data(), static_cast<size_t>(n)})));
  }
  return runs;
}

void Home::CleanUp() const {
  for (const std::string& run_id : FolderNames(Leases())) {
    const std::string path = JoinPath(Leases(), run_id);
    const int fd = OpenAbandoned(path);
    if (fd < 0) continue;
    // Its stages may be ending yet: then the next run cleans up.
    if (RemoveTree(Work(run_id)).ok()) ::unlink(path.c_str());
    ::close(fd);
  }
}

std::string NewRunId() {
  uint16_t random = 0;
  [[maybe_unused]] const ssize_t n = ::getrandom(&random, sizeof(random), 0);
  return absl::StrCat(absl::FormatTime("%Y%m%d-%H%M%S-", absl::Now(), absl::UTCTimeZone()),
                      absl::StrFormat("%04x", random));
}

absl::Status Pin::Write(const Home& home, const Pin& pin) {
  const auto is_plain = [](char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; };
  if (pin.name.empty() || pin.name[0] == '.' || !std::all_of(pin.name.begin(), pin.name.end(), is_plain)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", pin.name, "\" cannot name a pin\n  fix: letters, digits, \".\", \"_\" and \"-\""));
  }
  std::string text = absl::StrCat("run ", pin.run_id, "\n");
  for (const Digest& key : pin.keys) absl::StrAppend(&text, key.Hex(), "\n");
  RETURN_IF_ERROR(CreateDirectories(home.Pins()));
  return WriteFileAtomic(JoinPath(home.Pins(), pin.name), text);
}

absl::Status Pin::Remove(const Home& home, const std::string& name) {
  const std::string path = JoinPath(home.Pins(), name);
  if (absl::StrContains(name, "/") || !FileExists(path))
    return absl::NotFoundError(absl::StrCat("no pin is named \"", name, "\""));
  return ::unlink(path.c_str()) == 0 ? absl::OkStatus() : ErrnoError(errno, "remove", path);
}

std::vector<Pin> Pin::All(const Home& home) {
  std::vector<std::string> names = FolderNames(home.Pins());
  std::sort(names.begin(), names.end());
  std::vector<Pin> pins;
  for (const std::string& name : names) {
    const absl::StatusOr<std::string> text = ReadFile(JoinPath(home.Pins(), name));
    if (!text.ok()) continue;
    Pin& pin = pins.emplace_back();
    pin.name = name;
    for (absl::string_view line : absl::StrSplit(*text, '\n')) {
      if (absl::ConsumePrefix(&line, "run ")) pin.run_id = std::string(line);
      if (const absl::StatusOr<Digest> key = Digest::ParseHex(line); key.ok()) pin.keys.push_back(*key);
    }
  }
  return pins;
}

absl::StatusOr<std::unique_ptr<Lease>> Lease::Take(const Home& home, const std::string& run_id) {
  const std::string path = JoinPath(home.Leases(), run_id);
  std::unique_ptr<Lease> lease;
  int fd = -1;
  while (lease == nullptr) {
    fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return ErrnoError(errno, "create", path);
    while (::flock(fd, LOCK_EX) != 0 && errno == EINTR) {
    }
    // Before it was locked it looked abandoned, and CleanUp() of another process may have removed it.
    struct stat at_path, open;
    if (::fstat(fd, &open) == 0 && ::stat(path.c_str(), &at_path) == 0 && at_path.st_ino == open.st_ino) {
      lease.reset(new Lease(path, fd));
    } else {
      ::close(fd);
    }
  }
  const int64_t now = absl::ToUnixMicros(absl::Now());
  errno = 0;
  if (::write(fd, &now, sizeof(now)) != sizeof(now)) return ErrnoError(errno == 0 ? ENOSPC : errno, "write", path);
  return lease;
}

Lease::~Lease() {
  ::unlink(path_.c_str());
  ::close(fd_);
}

absl::Status Lease::Add(const std::vector<Digest>& keys) {
  if (keys.empty()) return absl::OkStatus();
  const size_t size = keys.size() * sizeof(Digest);
  std::lock_guard lock(mutex_);
  errno = 0;
  if (::write(fd_, keys.data(), size) == static_cast<ssize_t>(size)) return absl::OkStatus();
  return ErrnoError(errno == 0 ? ENOSPC : errno, "write", path_);
}

std::vector<Lease::Held> Lease::All(const Home& home) {
  std::vector<Held> all;
  for (const std::string& run_id : FolderNames(home.Leases())) {
    const std::string path = JoinPath(home.Leases(), run_id);
    if (const int fd = OpenAbandoned(path); fd >= 0) {
      ::close(fd);
      continue;
    }
    const absl::StatusOr<std::string> content = ReadFile(path);
    Held held;
    held.run_id = run_id;
    if (!content.ok()) continue;
    if (content->size() < sizeof(held.since_unix_micros)) {
      all.push_back(std::move(held));
      continue;
    }
    std::memcpy(&held.since_unix_micros, content->data(), sizeof(held.since_unix_micros));
    held.keys.resize((content->size() - sizeof(held.since_unix_micros)) / sizeof(Digest));
    std::memcpy(held.keys.data(), content->data() + sizeof(held.since_unix_micros), held.keys.size() * sizeof(Digest));
    all.push_back(std::move(held));
  }
  return all;
}

}  // namespace millrace
