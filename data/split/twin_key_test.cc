#include "data/split/twin_key.h"

#include <gtest/gtest.h>

namespace millrace::data {
namespace {

TEST(TwinKeyTest, Table) {
  const struct {
    absl::string_view id, key;
  } kRows[] = {
      {"doc/page.txt", "doc/page"},
      {"doc/page.html", "doc/page"},
      {"doc/page.txt.gz", "doc/page"},
      {"doc/page.txt.zst", "doc/page"},
      {"doc.d/page", "doc.d/page"},
      {"page.mp3", "page"},
      {"page.tar.gz", "page"},
      {"corpus.jsonl:17", "corpus.jsonl:17"},
      {"corpus.jsonl.gz:17", "corpus.jsonl.gz:17"},
      {"man1/ls.1", "man1/ls.1"},
      {"psalms-023", "psalms-023"},
      {"a/.profile", "a/.profile"},
      {".profile", ".profile"},
      {"page.", "page."},
      {"page.verylongend", "page.verylongend"},
      {"page.html#section", "page.html#section"},
      {"", ""},
  };
  for (const auto& row : kRows) EXPECT_EQ(TwinKey(row.id), row.key) << row.id;
}

}  // namespace
}  // namespace millrace::data
