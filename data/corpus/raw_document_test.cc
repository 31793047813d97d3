#include "data/corpus/raw_document.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace millrace::data {
namespace {

// "NAME:LINE=BYTES" of each document, or "NAME:LINE too long".
std::vector<std::string> DocumentsOf(const std::vector<RawFile>& files, size_t max_document_bytes) {
  RawReader reader(files, max_document_bytes);
  RawBatch batch;
  std::vector<std::string> documents;
  while (true) {
    const absl::StatusOr<bool> more = reader.NextBatch(batch);
    EXPECT_TRUE(more.ok()) << more.status();
    if (!more.ok() || !*more) return documents;
    for (const RawBatch::Item& item : batch.items) {
      documents.push_back(absl::StrCat(reader.files()[item.file].name, ":", item.line));
      if (item.too_long) {
        documents.back() += " too long";
        EXPECT_TRUE(item.bytes.empty());
      } else {
        absl::StrAppend(&documents.back(), "=", item.bytes);
      }
    }
  }
}

class RawReaderTest : public testing::Test {
 protected:
  ~RawReaderTest() override { (void)RemoveTree(folder_); }
  RawFile File(const std::string& name, const std::string& content, bool is_jsonl) {
    const std::string path = JoinPath(folder_, name);
    EXPECT_TRUE(WriteFile(path, content).ok());
    return {name, path, is_jsonl};
  }
  const std::string folder_ = *MakeTempDirectory("raw");
};

TEST_F(RawReaderTest, LinesAndWholeFiles) {
  EXPECT_EQ(DocumentsOf({File("a", "\xEF\xBB\xBFx\r\n \r\n\n\ny", true), File("b", "", true),
                         File("c", "\xEF\xBB\xBFp\n\n", false), File("d", "", false), File("e", "\n\nz\n", true)},
                        100),
            (std::vector<std::string>{"a:1=x", "a:5=y", "c:0=p\n\n", "d:0=", "e:3=z"}));
}

TEST_F(RawReaderTest, TooLongIsPassedOverAndSaid) {
  const std::string ten(10, 'x'), eleven(11, 'y');
  EXPECT_EQ(DocumentsOf({File("a", absl::StrCat(ten, "\n", eleven, "\r\n", ten, "\r\n", eleven), true),
                         File("b", eleven, false), File("c", "\xEF\xBB\xBF" + ten, false), File("d", ten, true)},
                        10),
            (std::vector<std::string>{"a:1=" + ten, "a:2 too long", "a:3=" + ten, "a:4 too long", "b:0 too long",
                                      "c:0=" + ten, "d:1=" + ten}));
}

// Longer than what is held, wherever it begins.
TEST_F(RawReaderTest, MuchTooLong) {
  const std::string much(12 << 20, 'x');
  for (const size_t before : {size_t{0}, size_t{3} << 20, size_t{5} << 20}) {
    const std::string first(before, 'a');
    const RawFile lines = File("a", absl::StrCat(first, "\n", much, "\n\nb\n", much, "\n", much), true);
    const RawFile text = File("t", much, false);
    std::vector<std::string> expected = {"a:2 too long", "a:4=b", "a:5 too long", "a:6 too long", "t:0 too long",
                                         "a:2 too long", "a:4=b", "a:5 too long", "a:6 too long"};
    if (before > 0) {
      expected.insert(expected.begin() + 5, "a:1=" + first);
      expected.insert(expected.begin(), "a:1=" + first);
    }
    EXPECT_TRUE(DocumentsOf({lines, text, lines}, 6 << 20) == expected) << before;
  }
}

// A long document behind short ones in the same batch.
TEST_F(RawReaderTest, LongBehindShort) {
  const std::string content(6 << 20, 'x');
  const RawFile small = File("s", "s", false), text = File("t", content, false);
  const RawFile line = File("l", "s\n", true), lines = File("a", content + "\n" + content, true);
  EXPECT_TRUE(DocumentsOf({small, text, small, text, line, lines, small}, 8 << 20) ==
              (std::vector<std::string>{"s:0=s", "t:0=" + content, "s:0=s", "t:0=" + content, "l:1=s", "a:1=" + content,
                                        "a:2=" + content, "s:0=s"}));
}

TEST_F(RawReaderTest, MoreFilesThanABatchHolds) {
  std::vector<RawFile> files;
  std::vector<std::string> expected;
  for (int i = 0; i < 150; ++i) {
    const std::string content = absl::StrCat(i, std::string(i * 611, 'a' + i % 26));
    files.push_back(File(absl::StrCat("f", i), content, i % 5 == 4));
    expected.push_back(absl::StrCat("f", i, ":", i % 5 == 4 ? 1 : 0, "=", content));
  }
  EXPECT_TRUE(DocumentsOf(files, 1 << 20) == expected);  // 6.8 MB
}

TEST_F(RawReaderTest, IsWhatALoopGives) {
  for (unsigned seed = 0; seed < 6; ++seed) {
    std::mt19937 random(seed);
    const size_t most = 1000 << random() % 12;
    std::string content;
    std::vector<std::string> expected;
    for (int line = 1; content.size() < (12 << 20); ++line) {
      const size_t size = random() % 3 == 0 ? random() % 10 : random() % (most * 5 / 4);
      const std::string text(size, 'a' + line % 26);
      absl::StrAppend(&content, text, "\n");
      if (size > most) {
        expected.push_back(absl::StrCat("a:", line, " too long"));
      } else if (size > 0) {
        expected.push_back(absl::StrCat("a:", line, "=", text));
      }
    }
    EXPECT_TRUE(DocumentsOf({File("a", content, true)}, most) == expected) << "seed " << seed;
  }
}

}  // namespace
}  // namespace millrace::data
