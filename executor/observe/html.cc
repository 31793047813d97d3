#include "executor/observe/html.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace millrace {
namespace {

// Bytes of the well-formed UTF-8 sequence at the start of `text` (RFC 3629: no overlong forms, no surrogates), or 0.
int SequenceLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!tail(1) || !tail(2) || (first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F)) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3) || (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) {
      return 0;
    }
    return 4;
  }
  return 0;
}

constexpr char kReplacement[] = "\xEF\xBF\xBD";

// Appends one character of `text`, escaped; returns how many bytes it had.
int AppendEscaped(absl::string_view text, std::string& out) {
  const int length = SequenceLength(text);
  if (length == 0) {
    out += kReplacement;
    return 1;
  }
  const uint8_t byte = text[0];
  switch (byte) {
    case '&':
      out += "&amp;";
      break;
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '"':
      out += "&quot;";
      break;
    case '\'':
      out += "&#39;";
      break;
    default:
      if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F) {
        out += kReplacement;
      } else {
        out.append(text.data(), length);
      }
  }
  return length;
}

}  // namespace

std::string EscapeHtml(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) text.remove_prefix(AppendEscaped(text, out));
  return out;
}

std::string EscapeHtmlCut(absl::string_view text, int max_characters) {
  std::string out;
  for (; !text.empty() && max_characters > 0; --max_characters) text.remove_prefix(AppendEscaped(text, out));
  if (!text.empty()) out += "…";
  return out;
}

std::string SvgNumber(double value) {
  std::string text = absl::StrFormat("%.2f", value);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

}  // namespace millrace
