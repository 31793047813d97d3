#include "executor/observe/display_width.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "absl/strings/ascii.h"

namespace millrace {
namespace {

struct CodePoint {
  uint32_t value = 0;
  int bytes = 1;
  bool valid = true;
};

CodePoint Decode(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return {first, 1, true};
  int length = first >= 0xF0 && first < 0xF5 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 0;
  if (first >= 0xF5 || length == 0 || text.size() < length) return {first, 1, false};
  uint32_t value = first & (0x7F >> length);
  for (int i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {first, 1, false};
    value = value << 6 | (byte(i) & 0x3F);
  }
  return {value, length, true};
}

struct Interval {
  uint32_t first, last;
};

bool Contains(const Interval* begin, const Interval* end, uint32_t value) {
  const Interval* found =
      std::upper_bound(begin, end, value, [](uint32_t v, const Interval& i) { return v < i.first; });
  return found != begin && value <= (found - 1)->last;
}

// Nonspacing and enclosing marks, and format characters, of the scripts that a corpus is likely to hold.
constexpr Interval kZeroWidth[] = {
    {0x0300, 0x036F},   {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x05BF, 0x05BF}, {0x05C1, 0x05C2},   {0x05C4, 0x05C5},
    {0x0610, 0x061A},   {0x064B, 0x065F}, {0x0670, 0x0670}, {0x06D6, 0x06DC}, {0x06DF, 0x06E4},   {0x06E7, 0x06E8},
    {0x06EA, 0x06ED},   {0x0900, 0x0902}, {0x093A, 0x093A}, {0x093C, 0x093C}, {0x0941, 0x0948},   {0x094D, 0x094D},
    {0x0951, 0x0957},   {0x0962, 0x0963}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E},   {0x1AB0, 0x1AFF},
    {0x1DC0, 0x1DFF},   {0x200B, 0x200F}, {0x202A, 0x202E}, {0x2060, 0x2064}, {0x20D0, 0x20F0},   {0x302A, 0x302D},
    {0x3099, 0x309A},   {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0x1F3FB, 0x1F3FF}, {0xE0001, 0xE007F},
    {0xE0100, 0xE01EF},
};

constexpr Interval kWide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x2329, 0x232A},   {0x23E9, 0x23EC},   {0x23F0, 0x23F0},
    {0x23F3, 0x23F3},   {0x25FD, 0x25FE},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267F, 0x267F},
    {0x2693, 0x2693},   {0x26A1, 0x26A1},   {0x26AA, 0x26AB},   {0x26BD, 0x26BE},   {0x26C4, 0x26C5},
    {0x26CE, 0x26CE},   {0x26D4, 0x26D4},   {0x26EA, 0x26EA},   {0x26F2, 0x26F3},   {0x26F5, 0x26F5},
    {0x26FA, 0x26FA},   {0x26FD, 0x26FD},   {0x2705, 0x2705},   {0x270A, 0x270B},   {0x2728, 0x2728},
    {0x274C, 0x274C},   {0x274E, 0x274E},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},
    {0x27B0, 0x27B0},   {0x27BF, 0x27BF},   {0x2B1B, 0x2B1C},   {0x2B50, 0x2B50},   {0x2B55, 0x2B55},
    {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},
    {0xA960, 0xA97F},   {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE10, 0xFE19},   {0xFE30, 0xFE6F},
    {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x16FE0, 0x16FE4}, {0x17000, 0x18CFF}, {0x1AFF0, 0x1B2FF},
    {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF}, {0x1F18E, 0x1F18E}, {0x1F191, 0x1F19A}, {0x1F200, 0x1F320},
    {0x1F32D, 0x1F335}, {0x1F337, 0x1F37C}, {0x1F37E, 0x1F393}, {0x1F3A0, 0x1F3CA}, {0x1F3CF, 0x1F3D3},
    {0x1F3E0, 0x1F3F0}, {0x1F3F4, 0x1F3F4}, {0x1F3F8, 0x1F43E}, {0x1F440, 0x1F440}, {0x1F442, 0x1F4FC},
    {0x1F4FF, 0x1F53D}, {0x1F54B, 0x1F54E}, {0x1F550, 0x1F567}, {0x1F57A, 0x1F57A}, {0x1F595, 0x1F596},
    {0x1F5A4, 0x1F5A4}, {0x1F5FB, 0x1F64F}, {0x1F680, 0x1F6C5}, {0x1F6CC, 0x1F6CC}, {0x1F6D0, 0x1F6D2},
    {0x1F6D5, 0x1F6D7}, {0x1F6DC, 0x1F6DF}, {0x1F6EB, 0x1F6EC}, {0x1F6F4, 0x1F6FC}, {0x1F7E0, 0x1F7EB},
    {0x1F7F0, 0x1F7F0}, {0x1F90C, 0x1F93A}, {0x1F93C, 0x1F945}, {0x1F947, 0x1F9FF}, {0x1FA70, 0x1FAFF},
    {0x20000, 0x2FFFD}, {0x30000, 0x3FFFD},
};

int WidthOf(const CodePoint& point) {
  if (!point.valid) return 1;
  if (point.value < 0x20 || (point.value >= 0x7F && point.value < 0xA0)) return 0;
  if (point.value < 0x300) return 1;
  if (Contains(std::begin(kZeroWidth), std::end(kZeroWidth), point.value)) return 0;
  return Contains(std::begin(kWide), std::end(kWide), point.value) ? 2 : 1;
}

// The longest start of `text` with at most `width` columns.
absl::string_view Prefix(absl::string_view text, int width) {
  size_t end = 0;
  while (end < text.size()) {
    const CodePoint point = Decode(text.substr(end));
    width -= WidthOf(point);
    if (width < 0) break;
    end += point.bytes;
  }
  return text.substr(0, end);
}

// The longest end of `text` with at most `width` columns.
absl::string_view Suffix(absl::string_view text, int width) {
  int excess = DisplayWidth(text) - width;
  size_t begin = 0;
  while (begin < text.size() && excess > 0) {
    const CodePoint point = Decode(text.substr(begin));
    excess -= WidthOf(point);
    begin += point.bytes;
  }
  while (begin < text.size()) {  // no combining mark without its base
    const CodePoint point = Decode(text.substr(begin));
    if (WidthOf(point) > 0) break;
    begin += point.bytes;
  }
  return text.substr(begin);
}

// Whether the space at `at` groups digits, as in "121 158".
bool IsWithinNumber(absl::string_view text, size_t at) {
  return at > 0 && at + 1 < text.size() && text[at] == ' ' && absl::ascii_isdigit(text[at - 1]) &&
         absl::ascii_isdigit(text[at + 1]);
}

std::string ToString(absl::string_view view) { return std::string(view.data(), view.size()); }

}  // namespace

int DisplayWidth(absl::string_view text) {
  int width = 0;
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = Decode(text.substr(i));
    width += WidthOf(point);
    i += point.bytes;
  }
  return width;
}

std::string TruncateToWidth(absl::string_view text, int width, absl::string_view ellipsis) {
  if (DisplayWidth(text) <= width) return ToString(text);
  const int room = width - DisplayWidth(ellipsis);
  if (room < 0) return ToString(Prefix(text, std::max(width, 0)));
  return ToString(Prefix(text, room)) + ToString(ellipsis);
}

std::string ElideMiddle(absl::string_view text, int width, absl::string_view ellipsis) {
  if (DisplayWidth(text) <= width) return ToString(text);
  const int room = width - DisplayWidth(ellipsis);
  if (room < 2) return TruncateToWidth(text, width, ellipsis);
  const absl::string_view end = Suffix(text, room / 2);
  return ToString(Prefix(text, room - DisplayWidth(end))) + ToString(ellipsis) + ToString(end);
}

std::string PadRight(absl::string_view text, int width) {
  return ToString(text) + std::string(std::max(0, width - DisplayWidth(text)), ' ');
}

std::string PadLeft(absl::string_view text, int width) {
  return std::string(std::max(0, width - DisplayWidth(text)), ' ') + ToString(text);
}

std::string WrapText(absl::string_view text, int width, int hanging) {
  std::string result;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    absl::string_view line = text.substr(0, newline);
    text.remove_prefix(newline == absl::string_view::npos ? text.size() : newline + 1);
    const int leading = static_cast<int>(std::min(line.find_first_not_of(' '), line.size()));
    if (width <= 0 || DisplayWidth(Printable(line)) <= width) {
      result.append(line.data(), line.size());
    } else {
      const int indent = std::min(leading + hanging, width / 3);
      int column = 0;
      while (!line.empty()) {
        const size_t spaces = std::min(line.find_first_not_of(' '), line.size());
        size_t end = std::min(line.find(' ', spaces), line.size());
        while (IsWithinNumber(line, end)) end = std::min(line.find(' ', end + 1), line.size());
        const absl::string_view word = line.substr(spaces, end - spaces);
        const int columns = DisplayWidth(Printable(word));
        if (column > indent && column + static_cast<int>(spaces) + columns > width) {
          result += "\n" + std::string(indent, ' ');
          column = indent;
        } else {
          result.append(line.data(), spaces);
          column += static_cast<int>(spaces);
        }
        result.append(word.data(), word.size());
        column += columns;
        line.remove_prefix(end);
      }
    }
    if (newline != absl::string_view::npos) result += '\n';
  }
  return result;
}

std::string Printable(absl::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (const size_t redrawn = line.rfind('\r'); redrawn != absl::string_view::npos) line.remove_prefix(redrawn + 1);
  std::string result;
  for (size_t i = 0; i < line.size();) {
    const uint8_t byte = line[i];
    if (byte == 0x1B) {  // ECMA-48: CSI ends with a byte in 0x40..0x7E, OSC with BEL or ST; others are two bytes
      size_t end = i + 1;
      if (end < line.size() && line[end] == '[') {
        ++end;
        while (end < line.size() && !(line[end] >= 0x40 && line[end] <= 0x7E)) ++end;
      } else if (end < line.size() && line[end] == ']') {
        while (end < line.size() && line[end] != '\a' && line[end] != 0x1B) ++end;
        if (end < line.size() && line[end] == 0x1B) ++end;
      }
      i = std::min(end + 1, line.size());
      continue;
    }
    if (byte == '\t') {
      result += "    ";
      ++i;
      continue;
    }
    const CodePoint point = Decode(line.substr(i));
    const bool control = point.value < 0x20 || (point.value >= 0x7F && point.value < 0xA0);
    if (!point.valid) {
      result += "\xEF\xBF\xBD";
    } else if (!control) {
      result.append(line.data() + i, point.bytes);
    }
    i += point.bytes;
  }
  return result;
}

}  // namespace millrace
