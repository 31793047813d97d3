// How many columns a text takes on a terminal, and cutting text to a number of columns.
//
// Widths follow Unicode 15: wide and fullwidth characters (UAX #11) and emoji with that presentation take 2 columns,
// combining marks and other zero-width characters none. A byte that is not UTF-8 counts as one column.
#ifndef MILLRACE_EXECUTOR_OBSERVE_DISPLAY_WIDTH_H_
#define MILLRACE_EXECUTOR_OBSERVE_DISPLAY_WIDTH_H_

#include <string>

#include "absl/strings/string_view.h"

namespace millrace {

// Text without escape sequences.
int DisplayWidth(absl::string_view text);

// `text` with at most `width` columns; what is cut shows as `ellipsis` at the end.
std::string TruncateToWidth(absl::string_view text, int width, absl::string_view ellipsis = "…");
// The same with the cut in the middle, for names and paths.
std::string ElideMiddle(absl::string_view text, int width, absl::string_view ellipsis = "…");
// `text` and spaces up to `width` columns.
std::string PadRight(absl::string_view text, int width);
std::string PadLeft(absl::string_view text, int width);

// `text`, which may have escape sequences, with each line that is wider than `width` broken at spaces. What follows is
// indented by `hanging` columns more than its line, or by a third of the width where that is less; a word that is wider
// stays whole, so that paths can be copied. A `width` of 0 breaks nothing.
std::string WrapText(absl::string_view text, int width, int hanging);

// Without escape sequences and control characters (a tab becomes spaces; of a line that was redrawn with carriage
// returns the last state stays): what a program wrote, safe to show in the middle of our own lines.
std::string Printable(absl::string_view line);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_DISPLAY_WIDTH_H_
