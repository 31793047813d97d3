#include "executor/graph/glob.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

constexpr int kMaxDepth = 100;

bool HasWildcard(absl::string_view part) { return part.find_first_of("*?") != absl::string_view::npos; }

size_t CharacterLength(absl::string_view text) {
  size_t length = 1;
  while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) ++length;
  return length;
}

// One name against one part; `*` backtracks to its last place only, which suffices.
bool MatchesPart(absl::string_view pattern, absl::string_view name) {
  size_t p = 0, n = 0, star = absl::string_view::npos, star_n = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_n = n;
    } else if (p < pattern.size() && pattern[p] == '?') {
      ++p;
      n += CharacterLength(name.substr(n));
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != absl::string_view::npos) {
      p = star + 1;
      n = ++star_n;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

class Expander {
 public:
  Expander(std::string folder, std::vector<absl::string_view> parts)
      : folder_(std::move(folder)), parts_(std::move(parts)) {}

  absl::Status Walk(const std::string& relative, size_t part, int depth) {
    if (depth > kMaxDepth)
      return absl::InvalidArgumentError(absl::StrCat(JoinPath(folder_, relative), ": folders more than 100 deep"));
    // Names without wildcards are not looked for.
    if (parts_[part] != "**" && !HasWildcard(parts_[part])) {
      return Visit(Below(relative, parts_[part]), part, depth, /*must_exist=*/false);
    }
    const std::string path = relative.empty() ? folder_ : JoinPath(folder_, relative);
    DIR* directory = opendir(path.c_str());
    if (directory == nullptr) return ErrnoError(errno, "read folder", path);
    std::vector<std::string> names;
    while (const dirent* entry = readdir(directory)) {
      const absl::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    closedir(directory);
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      if (parts_[part] == "**" || MatchesPart(parts_[part], name))
        RETURN_IF_ERROR(Visit(Below(relative, name), part, depth, /*must_exist=*/true));
    }
    // `**` is no folder, too.
    if (parts_[part] == "**" && part + 1 < parts_.size()) RETURN_IF_ERROR(Walk(relative, part + 1, depth));
    return absl::OkStatus();
  }

  std::vector<std::string> TakeFound() {
    std::sort(found_.begin(), found_.end());
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    return std::move(found_);
  }

 private:
  static std::string Below(const std::string& relative, absl::string_view name) {
    return relative.empty() ? std::string(name) : absl::StrCat(relative, "/", name);
  }

  // `relative` matches the parts up to and with `part`.
  absl::Status Visit(const std::string& relative, size_t part, int depth, bool must_exist) {
    struct stat info;
    const std::string path = JoinPath(folder_, relative);
    if (stat(path.c_str(), &info) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return absl::OkStatus();  // or a link that leads nowhere
      return ErrnoError(errno, "look at", path);
    }
    const bool last = part + 1 == parts_.size();
    if (S_ISREG(info.st_mode)) {
      if (last) found_.push_back(relative);
      return absl::OkStatus();
    }
    if (!S_ISDIR(info.st_mode)) return absl::OkStatus();
    if (parts_[part] == "**") return Walk(relative, part, depth + 1);
    return last ? absl::OkStatus() : Walk(relative, part + 1, depth + 1);
  }

  const std::string folder_;
  const std::vector<absl::string_view> parts_;
  std::vector<std::string> found_;
};

}  // namespace

RootedPath SplitRoot(absl::string_view text) {
  const size_t at = text.find("://");
  if (at == absl::string_view::npos) return {"", std::string(text)};
  return {std::string(text.substr(0, at)), std::string(text.substr(at + 3))};
}

bool MatchesGlob(absl::string_view pattern, absl::string_view path) {
  const std::vector<absl::string_view> parts = absl::StrSplit(pattern, '/', absl::SkipEmpty());
  const std::vector<absl::string_view> names = absl::StrSplit(path, '/', absl::SkipEmpty());
  // reached[n]: the parts so far match the first n names.
  std::vector<bool> reached(names.size() + 1);
  reached[0] = true;
  for (const absl::string_view part : parts) {
    if (part == "**") {
      for (size_t n = 1; n <= names.size(); ++n) reached[n] = reached[n] || reached[n - 1];
      continue;
    }
    for (size_t n = names.size(); n > 0; --n) reached[n] = reached[n - 1] && MatchesPart(part, names[n - 1]);
    reached[0] = false;
  }
  return reached[names.size()];
}

absl::StatusOr<std::vector<std::string>> ExpandGlob(const std::string& folder, absl::string_view pattern) {
  if (absl::StartsWith(pattern, "/"))
    return absl::InvalidArgumentError(absl::StrCat("\"", pattern, "\" is an absolute path"));
  std::vector<absl::string_view> parts = absl::StrSplit(pattern, '/', absl::SkipEmpty());
  for (const absl::string_view part : parts) {
    if (part == "..") return absl::InvalidArgumentError(absl::StrCat("\"", pattern, "\" leaves its root"));
  }
  parts.erase(std::remove(parts.begin(), parts.end(), "."), parts.end());
  if (parts.empty()) return absl::InvalidArgumentError(absl::StrCat("\"", pattern, "\" names no file"));
  Expander expander(folder, std::move(parts));
  RETURN_IF_ERROR(expander.Walk("", 0, 0));
  return expander.TakeFound();
}

}  // namespace millrace
