#include "executor/cas/tree.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

constexpr absl::string_view kMagic = "millrace.tree.v1\n";

void AppendEscaped(absl::string_view path, std::string& text) {
  for (const char c : path) {
    if (c == '\\') {
      text += "\\\\";
    } else if (c == '\n') {
      text += "\\n";
    } else {
      text += c;
    }
  }
}

std::string Unescaped(absl::string_view text) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      path += text[++i] == 'n' ? '\n' : text[i];
    } else {
      path += text[i];
    }
  }
  return path;
}

// A path that stays within its tree.
bool IsSafe(absl::string_view path) {
  if (path.empty() || path.front() == '/') return false;
  const std::string framed = absl::StrCat("/", path, "/");
  return !absl::StrContains(framed, "/../") && !absl::StrContains(framed, "/./") && !absl::StrContains(framed, "//");
}

}  // namespace

int64_t Tree::size_bytes() const {
  int64_t size_bytes = 0;
  for (const TreeFile& file : files) size_bytes += file.size_bytes;
  return size_bytes;
}

std::string Tree::Canonical() const {
  std::string text(kMagic);
  size_t file = 0, folder = 0;
  while (file < files.size() || folder < empty_folders.size()) {
    if (folder == empty_folders.size() || (file < files.size() && files[file].path < empty_folders[folder])) {
      const TreeFile& f = files[file++];
      absl::StrAppend(&text, f.digest.Hex(), " ", f.size_bytes, f.executable ? " x " : " f ");
      AppendEscaped(f.path, text);
    } else {
      text += "- 0 d ";
      AppendEscaped(empty_folders[folder++], text);
    }
    text += '\n';
  }
  return text;
}

absl::StatusOr<Tree> Tree::Parse(absl::string_view canonical) {
  const auto error = [](absl::string_view line) {
    return absl::InvalidArgumentError(absl::StrCat("not a tree: ", line.substr(0, 200)));
  };
  if (!absl::StartsWith(canonical, kMagic)) return error(canonical);
  absl::string_view rest = canonical.substr(kMagic.size());
  Tree tree;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    if (end == absl::string_view::npos) return error(rest);
    const absl::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    const size_t first = line.find(' ');
    const size_t second = first == absl::string_view::npos ? first : line.find(' ', first + 1);
    if (second == absl::string_view::npos || second + 3 >= line.size() || line[second + 2] != ' ') return error(line);
    const char type = line[second + 1];
    std::string path = Unescaped(line.substr(second + 3));
    if (!IsSafe(path)) return error(line);
    if (type == 'd') {
      tree.empty_folders.push_back(std::move(path));
      continue;
    }
    TreeFile file;
    file.path = std::move(path);
    file.executable = type == 'x';
    ASSIGN_OR_RETURN(file.digest, Digest::ParseHex(line.substr(0, first)));
    if ((type != 'f' && type != 'x') || !absl::SimpleAtoi(line.substr(first + 1, second - first - 1), &file.size_bytes))
      return error(line);
    tree.files.push_back(std::move(file));
  }
  return tree;
}

}  // namespace millrace
