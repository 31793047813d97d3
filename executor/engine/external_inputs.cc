#include "executor/engine/external_inputs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/status_macros.h"
#include "executor/cas/cas.h"

namespace millrace {
namespace {

constexpr size_t kMaxDifferences = 5;

std::string LockText(const Tree& tree) {
  std::string text;
  for (const TreeFile& file : tree.files)
    absl::StrAppend(&text, file.path, " ", file.size_bytes, " ", file.digest.Hex(), "\n");
  return text;
}

}  // namespace

absl::StatusOr<DigestedInput> DigestInput(const ExternalInput& input, FileMemo& memo, int threads) {
  if (!input.unresolved.empty()) return absl::FailedPreconditionError(input.unresolved);
  const size_t count = input.files.size();
  DigestedInput digested;
  digested.tree.files.resize(count);
  digested.stamps.resize(count);
  std::vector<absl::Status> status(count);
  ParallelFor(threads, count, [&](int64_t i) {
    const absl::StatusOr<HashedFile> hashed = memo.DigestOf(input.files[i].absolute_path);
    status[i] = hashed.status();
    if (!hashed.ok()) return;
    digested.tree.files[i] = {input.files[i].relative_path, hashed->digest, hashed->stamp.size_bytes, false};
    digested.stamps[i] = hashed->stamp;
  });
  for (const absl::Status& s : status) RETURN_IF_ERROR(Annotate(s, input.location.ToString()));
  digested.digest = Digest::Of(digested.tree.Canonical());
  return digested;
}

absl::Status LayOutInput(const ExternalInput& input, const std::string& folder, bool copy) {
  RETURN_IF_ERROR(CreateDirectories(folder));
  std::string made;
  for (const ExternalFile& file : input.files) {
    const std::string link = JoinPath(folder, file.relative_path);
    const std::string parent = link.substr(0, link.rfind('/'));
    if (parent != folder && parent != made) {
      RETURN_IF_ERROR(CreateDirectories(parent));
      made = parent;
    }
    if (copy) {
      RETURN_IF_ERROR(CloneFile(file.absolute_path, link, ::access(file.absolute_path.c_str(), X_OK) == 0));
      continue;
    }
    if (::symlink(file.absolute_path.c_str(), link.c_str()) != 0) return ErrnoError(errno, "link", link);
  }
  return absl::OkStatus();
}

absl::Status CheckUnchanged(const ExternalInput& input, const DigestedInput& digested) {
  for (size_t i = 0; i < input.files.size(); ++i) {
    const absl::StatusOr<FileStamp> now = FileStamp::Of(input.files[i].absolute_path);
    if (now.ok() && *now == digested.stamps[i]) continue;
    return absl::AbortedError(
        absl::StrCat(input.files[i].absolute_path, now.ok() ? " changed" : " went away",
                     " while the stage ran: what it made is not kept\n  why: a result must be that of its inputs"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> CompareWithLock(const ExternalInput& input, const Tree& tree) {
  std::vector<std::string> differences;
  if (input.lock.empty()) return differences;
  const absl::StatusOr<std::string> text = ReadFile(input.lock);
  if (absl::IsNotFound(text.status())) return std::vector<std::string>{absl::StrCat(input.lock, " is not there")};
  RETURN_IF_ERROR(text.status());
  std::map<std::string, std::pair<int64_t, std::string>> locked;
  int line_number = 0;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    ++line_number;
    if (line.empty() || line[0] == '#') continue;
    const size_t digest_at = line.rfind(' ');
    const size_t size_at = digest_at == absl::string_view::npos ? digest_at : line.rfind(' ', digest_at - 1);
    int64_t size_bytes = 0;
    if (size_at == absl::string_view::npos ||
        !absl::SimpleAtoi(line.substr(size_at + 1, digest_at - size_at - 1), &size_bytes) ||
        !Digest::ParseHex(line.substr(digest_at + 1)).ok()) {
      return absl::InvalidArgumentError(absl::StrCat(input.lock, ":", line_number,
                                                     ": not a line of a lock file\n  why: a line is path, size and "
                                                     "sha256\n  fix: write it anew"));
    }
    locked[std::string(line.substr(0, size_at))] = {size_bytes, std::string(line.substr(digest_at + 1))};
  }
  for (const TreeFile& file : tree.files) {
    const auto found = locked.find(file.path);
    if (found == locked.end()) {
      differences.push_back(absl::StrCat(file.path, ": not in the lock file"));
      continue;
    }
    const auto& [size_bytes, hex] = found->second;
    if (size_bytes != file.size_bytes) {
      differences.push_back(absl::StrCat(file.path, ": ", file.size_bytes, " bytes, locked ", size_bytes));
    } else if (hex != file.digest.Hex()) {
      differences.push_back(absl::StrCat(file.path, ": sha256 ", file.digest.Hex().substr(0, 12), "..., locked ",
                                         hex.substr(0, 12), "..."));
    }
    locked.erase(found);
  }
  for (const auto& [path, rest] : locked) differences.push_back(absl::StrCat(path, ": locked, and not there"));
  if (differences.size() > kMaxDifferences) {
    const size_t more = differences.size() - kMaxDifferences;
    differences.resize(kMaxDifferences);
    differences.push_back(absl::StrCat("and ", more, " more"));
  }
  return differences;
}

absl::Status WriteLock(const ExternalInput& input, const Tree& tree) {
  const std::string text = LockText(tree);
  if (const absl::StatusOr<std::string> now = ReadFile(input.lock); now.ok() && *now == text) return absl::OkStatus();
  return WriteFileAtomic(input.lock, text);
}

}  // namespace millrace
