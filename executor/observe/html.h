// Text into HTML and SVG, so that no text of a user or of a document becomes markup.
#ifndef MILLRACE_EXECUTOR_OBSERVE_HTML_H_
#define MILLRACE_EXECUTOR_OBSERVE_HTML_H_

#include <string>

#include "absl/strings/string_view.h"

namespace millrace {

// Good in element content and in attribute values between double quotes. What is not UTF-8, or not allowed in HTML
// (most control characters), becomes U+FFFD.
std::string EscapeHtml(absl::string_view text);

// The start of `text` with at most `max_characters`, escaped, and "…" where something was cut.
std::string EscapeHtmlCut(absl::string_view text, int max_characters);

// A coordinate: at most two decimals, no exponent.
std::string SvgNumber(double value);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_HTML_H_
