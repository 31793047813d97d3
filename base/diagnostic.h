// What is wrong with a user's file, where, why, and what to do. The shape of the messages is code here and not
// discipline elsewhere:
//
//   pipelines/tiny.textproto:41:10: stage "tokens": no stage is named "clan"
//     why: `from` takes documents; closest: "clean" (line 12)
//     fix: from: "clean"
#ifndef MILLRACE_BASE_DIAGNOSTIC_H_
#define MILLRACE_BASE_DIAGNOSTIC_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace millrace {

// A place in a text. `line` and `column` count from 1; 0 is unknown.
struct Location {
  std::string file;
  int line = 0;
  int column = 0;

  std::string ToString() const;  // "file:line:column", without what is unknown
  friend bool operator==(const Location&, const Location&) = default;
};

struct Diagnostic {
  enum class Severity { kWarning, kError };
  Severity severity = Severity::kError;
  Location location;
  std::string what;  // lower case, user's names in double quotes, no final period
  std::string why;   // may be empty
  std::string fix;   // may be empty

  // As above, without a final newline. A warning begins with "warning: ".
  std::string ToString() const;
};

// Collects the diagnostics of a whole file. Not thread-safe.
class Diagnostics {
 public:
  void AddError(Location location, std::string what, std::string why = "", std::string fix = "");
  void AddWarning(Location location, std::string what, std::string why = "", std::string fix = "");

  bool has_errors() const;
  int num_errors() const;
  // Sorted by file, line and column; equal ones once.
  std::vector<Diagnostic> Sorted() const;
  // All of them, one after the other, each ending with a newline.
  std::string ToString() const;
  // InvalidArgument with ToString() if there are errors, else OK.
  absl::Status ToStatus() const;

 private:
  std::vector<Diagnostic> diagnostics_;
};

// The candidate that a user most likely meant by `word` (Damerau-Levenshtein distance at most a third of its length),
// or "".
std::string Closest(absl::string_view word, const std::vector<std::string>& candidates);

}  // namespace millrace

#endif  // MILLRACE_BASE_DIAGNOSTIC_H_
