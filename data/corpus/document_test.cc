#include "data/corpus/document.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace millrace::data {
namespace {

class DocumentTest : public testing::Test {
 protected:
  void SetUp() override { root_ = *MakeTempDirectory("document_test"); }
  void TearDown() override { EXPECT_TRUE(RemoveTree(root_).ok()); }
  std::string Folder(absl::string_view name) {
    const std::string folder = JoinPath(root_, name);
    EXPECT_TRUE(CreateDirectories(folder).ok());
    return folder;
  }
  std::string Written(absl::string_view name, const std::vector<Document>& documents, int sources) {
    const std::string folder = Folder(name);
    DocumentWriter writer(folder);
    for (const Document& document : documents) EXPECT_TRUE(writer.Write(document).ok());
    EXPECT_TRUE(writer.Close(sources).ok());
    return folder;
  }
  static std::vector<Document> AllOf(DocumentReader& reader) {
    std::vector<Document> all;
    Document document;
    while (true) {
      const absl::StatusOr<bool> more = reader.Next(document);
      EXPECT_TRUE(more.ok()) << more.status();
      if (!more.ok() || !*more) return all;
      all.push_back(document);
    }
  }
  absl::Status ErrorOf(absl::string_view lines, absl::string_view manifest) {
    const std::string folder = Folder("bad");
    EXPECT_TRUE(WriteFile(JoinPath(folder, "documents-00000.jsonl"), lines).ok());
    EXPECT_TRUE(WriteFile(JoinPath(folder, "manifest.json"), manifest).ok());
    absl::StatusOr<DocumentReader> reader = DocumentReader::Open(folder);
    if (!reader.ok()) return reader.status();
    Document document;
    while (true) {
      const absl::StatusOr<bool> more = reader->Next(document);
      if (!more.ok() || !*more) return more.status();
    }
  }
  std::string root_;
};

TEST_F(DocumentTest, LinesHaveOneForm) {
  std::string line;
  AppendDocumentLine({"a", "x", 0, "", "", false}, line);
  EXPECT_EQ(line, "{\"id\":\"a\",\"text\":\"x\"}\n");
  line.clear();
  AppendDocumentLine({"a", "\"\\/\b\f\n\r\t\x01\x1f\x7f 床前", 3, "zh", "CC0-1.0", true}, line);
  EXPECT_EQ(
      line,
      "{\"id\":\"a\",\"text\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f 床前\",\"source\":3,\"language\":\"zh\","
      "\"licence\":\"CC0-1.0\",\"held_out\":true}\n");
}

TEST_F(DocumentTest, ReadsWhatItWroteAndMovesSources) {
  std::string controls;
  for (int c = 0; c < 0x80; ++c) controls += static_cast<char>(c);
  const std::vector<Document> first = {{"a", controls, 0, "en", "", false}, {"b", "", 1, "", "MIT", true}};
  const std::vector<Document> second = {{"c", "床前明月光 😀", 0, "zh", "", false}};
  const std::string a = Written("a", first, 2);
  const std::string b = Written("b", second, 1);
  const std::string none = Written("none", {}, 4);
  DocumentReader reader = *DocumentReader::Open({a, none, b});
  EXPECT_EQ(reader.documents(), 3);
  EXPECT_EQ(reader.sources(), 7);
  EXPECT_EQ(reader.text_bytes(), 128 + 0 + 20);
  const std::vector<Document> all = AllOf(reader);
  ASSERT_EQ(all.size(), 3);
  EXPECT_EQ(all[0], first[0]);
  EXPECT_EQ(all[1], first[1]);
  EXPECT_EQ(all[2].source, 6);
  EXPECT_EQ(all[2].text, second[0].text);
  reader.Rewind();
  EXPECT_EQ(AllOf(reader), all);
}

TEST_F(DocumentTest, NoDocumentsIsAnArtifactToo) {
  DocumentReader reader = *DocumentReader::Open(Written("none", {}, 1));
  EXPECT_TRUE(AllOf(reader).empty());
}

TEST_F(DocumentTest, LinesLongerThanABlockAndManyBlocks) {
  std::vector<Document> documents;
  for (int i = 0; i < 400; ++i) {
    documents.push_back({absl::StrCat("d", i), std::string(i % 50 == 7 ? 9000000 : 40000 + i, 'a' + i % 26)});
  }
  const std::string folder = Written("long", documents, 1);
  EXPECT_TRUE(FileExists(JoinPath(folder, "documents-00000.jsonl")));
  EXPECT_GE(*FileSize(JoinPath(folder, "documents-00000.jsonl")), 64 << 20);
  EXPECT_TRUE(FileExists(JoinPath(folder, "documents-00001.jsonl")));
  DocumentReader reader = *DocumentReader::Open(folder);
  EXPECT_TRUE(AllOf(reader) == documents);

  // In parallel: the same documents, in order, and each can be read again at its position.
  for (const int threads : {1, 2, 7}) {
    reader.Rewind();
    int next = 0;
    const absl::Status status = MapDocuments<DocumentPlace>(
        reader, threads, [](Document&, const DocumentPlace& place, DocumentPlace& out) { out = place; },
        [&](Document& document, DocumentPlace& place) {
          EXPECT_EQ(place.ordinal, next);
          EXPECT_TRUE(document == documents[next]);
          if (next % 10 == 0) {
            EXPECT_TRUE(*reader.ReadAt(place.position) == documents[next]);
          }
          ++next;
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(next, 400);
  }
}

TEST_F(DocumentTest, OtherToolsMayWriteItToo) {
  EXPECT_EQ(
      ErrorOf("{\"score\": [1, {}], \"text\": \"\\u5e8a\", \"id\": \"x\"}", R"({"documents":1,"bytes":3,"sources":1})"),
      absl::OkStatus());
}

TEST_F(DocumentTest, SaysWhatIsWrong) {
  const struct {
    absl::string_view lines, manifest, what;
    absl::StatusCode code;
  } kRows[] = {
      {"{\"id\":\"a\",\"text\":\"\"}\n{\"id\":\"a\"}\n", R"({"documents":2,"bytes":0,"sources":1})",
       "documents-00000.jsonl:2: not a document\n  why: it has no \"text\"", absl::StatusCode::kInvalidArgument},
      {"{\"text\":\"a\"}\n", R"({"documents":1,"bytes":0,"sources":1})", ":1: not a document\n  why: it has no \"id\"",
       absl::StatusCode::kInvalidArgument},
      {"{\"id\":\"a\",\"text\":7}\n", R"({"documents":1,"bytes":0,"sources":1})",
       "field \"text\": ", absl::StatusCode::kInvalidArgument},
      {"{\"id\":\"a\",\"text\":\"\",\"source\":1}\n", R"({"documents":1,"bytes":0,"sources":1})",
       "source 1, but the manifest has 1 sources", absl::StatusCode::kInvalidArgument},
      {"{\"id\":\"a\",\"text\":\"\"} {}\n", R"({"documents":1,"bytes":0,"sources":1})", "something follows",
       absl::StatusCode::kInvalidArgument},
      {"\n", R"({"documents":1,"bytes":0,"sources":1})", ":1: not a document", absl::StatusCode::kInvalidArgument},
      {"{\"id\":\"a\",\"text\":\"\"}\n", R"({"documents":2,"bytes":0,"sources":1})", "its manifest says 2",
       absl::StatusCode::kDataLoss},
      {"", R"({"documents":2})", "not the manifest", absl::StatusCode::kInvalidArgument},
  };
  for (const auto& row : kRows) {
    const absl::Status status = ErrorOf(row.lines, row.manifest);
    EXPECT_EQ(status.code(), row.code) << row.what;
    EXPECT_NE(std::string(status.message()).find(std::string(row.what)), std::string::npos) << status;
  }
  EXPECT_EQ(DocumentReader::Open(Folder("empty")).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace millrace::data
