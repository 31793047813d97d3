#include "trainer/eval/gzip_baseline.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "trainer/eval/testing.h"

namespace millrace::trainer {
namespace {

// zlib's own one-call function; its header has 2 bytes and its trailer 4.
int64_t Deflated(const std::string& text) {
  std::string out(compressBound(text.size()), '\0');
  uLongf size = out.size();
  EXPECT_EQ(compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(text.data()),
                      text.size(), 9),
            Z_OK);
  return static_cast<int64_t>(size) - 6;
}

data::Tokenizer ByteTokenizer() {
  const std::string folder = *MakeTempDirectory("tokenizer");
  WriteByteTokenizer(folder);
  return *data::Tokenizer::Load(folder);
}

// Text that compresses, but not to nothing.
std::string Text(int seed, int words) {
  std::string text;
  for (int i = 0; i < words; ++i) absl::StrAppend(&text, "word", (seed * 7919 + i * i * 31) % 97, i % 9 ? " " : "。\n");
  return text;
}

TEST(GzipBaselineTest, CountsWhatDeflateWrites) {
  for (const std::string& text : {std::string(), std::string("a"), Text(1, 20), Text(2, 40000)}) {
    DeflateCounter counter;
    for (size_t begin = 0; begin < text.size(); begin += 1000) counter.Append(text.substr(begin, 1000));
    EXPECT_EQ(counter.Finish(), Deflated(text)) << text.size() << " bytes";
  }
}

TEST(GzipBaselineTest, PerDocumentAndConcatenatedBySource) {
  const std::vector<std::string> texts = {Text(1, 300), "", Text(2, 50), Text(1, 500)};
  const data::HeldOutSet documents = OpenTestHeldOut(
      {ByteDocument(texts[0], 0), ByteDocument(texts[1], 0), ByteDocument(texts[2], 0), ByteDocument(texts[3], 3)},
      kByteVocabulary);
  const data::Tokenizer tokenizer = ByteTokenizer();
  for (int threads : {1, 2, 5}) {
    const absl::StatusOr<GzipBySource> gzip = GzipBaseline(documents, tokenizer, threads);
    ASSERT_TRUE(gzip.ok()) << gzip.status();
    ASSERT_EQ(gzip->source.size(), 2);
    const GzipSize& first = gzip->source.at(0);
    EXPECT_EQ(first.bytes, texts[0].size() + texts[2].size());
    EXPECT_EQ(first.per_document_bytes, Deflated(texts[0]) + Deflated(texts[1]) + Deflated(texts[2]));
    EXPECT_EQ(first.concatenated_bytes, Deflated(texts[0] + texts[2]));
    EXPECT_EQ(gzip->source.at(3).per_document_bytes, Deflated(texts[3]));
    EXPECT_EQ(gzip->source.at(3).concatenated_bytes, Deflated(texts[3]));
    EXPECT_EQ(gzip->all.per_document_bytes, first.per_document_bytes + Deflated(texts[3]));
    EXPECT_EQ(gzip->all.concatenated_bytes, Deflated(texts[0] + texts[2] + texts[3]));
    EXPECT_DOUBLE_EQ(gzip->all.bits_per_byte_concatenated(),
                     8.0 * Deflated(texts[0] + texts[2] + texts[3]) / gzip->all.bytes);
  }
}

TEST(GzipBaselineTest, RefusesAnotherTokenizer) {
  TestDocument other = ByteDocument("hello", 0);
  other.ids[2] = 5;
  const data::HeldOutSet documents = OpenTestHeldOut({ByteDocument("good", 0), other}, kByteVocabulary);
  const absl::StatusOr<GzipBySource> gzip = GzipBaseline(documents, ByteTokenizer(), 2);
  EXPECT_EQ(gzip.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(gzip.status().message().find("held-out document 1 decodes to another text"), absl::string_view::npos);
}

}  // namespace
}  // namespace millrace::trainer
