#include "data/tokenizer/byte_level.h"

#include <algorithm>
#include <numeric>

#include "base/utf8.h"
#include "data/tokenizer/utf8.h"

namespace millrace::data {
namespace {

bool StandsForItself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
}

constexpr uint32_t kAlphabetEnd = 0x100 + 68;

// Byte of each character below kAlphabetEnd; -1: none.
const std::array<int16_t, kAlphabetEnd>& ByteOfCharacter() {
  static const auto* const bytes = [] {
    auto* bytes = new std::array<int16_t, kAlphabetEnd>;
    bytes->fill(-1);
    for (int byte = 0; byte < 256; ++byte) (*bytes)[ByteLevelAlphabet()[byte]] = byte;
    return bytes;
  }();
  return *bytes;
}

}  // namespace

const std::array<uint32_t, 256>& ByteLevelAlphabet() {
  static const auto* const alphabet = [] {
    auto* alphabet = new std::array<uint32_t, 256>;
    uint32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) (*alphabet)[byte] = StandsForItself(byte) ? byte : next++;
    return alphabet;
  }();
  return *alphabet;
}

const std::array<uint8_t, 256>& BytesInAlphabetOrder() {
  static const auto* const order = [] {
    auto* order = new std::array<uint8_t, 256>;
    std::iota(order->begin(), order->end(), 0);
    std::sort(order->begin(), order->end(),
              [](uint8_t a, uint8_t b) { return ByteLevelAlphabet()[a] < ByteLevelAlphabet()[b]; });
    return order;
  }();
  return *order;
}

std::string ByteLevelText(absl::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) AppendUtf8(ByteLevelAlphabet()[static_cast<uint8_t>(byte)], text);
  return text;
}

std::optional<std::string> ByteLevelBytes(absl::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  int length = 0;
  for (size_t i = 0; i < text.size(); i += length) {
    const uint32_t character = DecodeUtf8(text.data() + i, length);
    if (character >= kAlphabetEnd || ByteOfCharacter()[character] < 0) return std::nullopt;
    bytes += static_cast<char>(ByteOfCharacter()[character]);
  }
  return bytes;
}

}  // namespace millrace::data
