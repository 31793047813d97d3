#include "data/tokenizer/token_file.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace millrace::data {
namespace {

struct Row {
  std::vector<uint32_t> ids;
  uint32_t source;
  bool held_out;
  uint64_t text_bytes;
};

const std::vector<Row> kRows = {
    {{1, 2, 3}, 0, false, 11}, {{}, 1, false, 0}, {{99}, 2, true, 4}, {{7, 7, 7, 7}, 0, true, 9}, {{}, 2, false, 0},
};

std::string WriteRows(const std::vector<Row>& rows, std::optional<uint32_t> eos_id) {
  const std::string folder = *MakeTempDirectory("tokens");
  absl::StatusOr<TokenFileWriter> writer =
      TokenFileWriter::Create(folder, {.sources = 3, .vocab_size = 100, .eos_id = eos_id});
  EXPECT_TRUE(writer.ok()) << writer.status();
  for (const Row& row : rows) {
    writer->Append({.ids = row.ids,
                    .source = row.source,
                    .held_out = row.held_out,
                    .text_bytes = row.text_bytes,
                    .text_sha256 = Sha256Of(std::to_string(row.text_bytes))});
  }
  const absl::Status closed = writer->Close();
  EXPECT_TRUE(closed.ok()) << closed;
  return folder;
}

TEST(TokenFileTest, GivesBackWhatWasWritten) {
  const std::string folder = WriteRows(kRows, 0);
  const absl::StatusOr<TokenFile> file = TokenFile::Open(folder);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->info(),
            (TokenFileInfo{.documents = 5, .ids = 8, .text_bytes = 24, .sources = 3, .vocab_size = 100, .eos_id = 0}));
  for (int64_t i = 0; i < file->num_documents(); ++i) {
    const TokenDocument document = file->document(i);
    EXPECT_EQ(std::vector<uint32_t>(document.ids.begin(), document.ids.end()), kRows[i].ids) << i;
    const int64_t half = document.ids.size() / 2;
    std::vector<uint32_t> ids = {17};
    ASSERT_TRUE(file->ReadIds(i, half, document.ids.size() - half, ids).ok());
    EXPECT_EQ(ids, std::vector<uint32_t>(document.ids.begin() + half, document.ids.end())) << i;
    EXPECT_EQ(document.source, kRows[i].source);
    EXPECT_EQ(document.held_out, kRows[i].held_out);
    EXPECT_EQ(document.text_bytes, kRows[i].text_bytes);
    EXPECT_EQ(document.text_sha256, Sha256Of(std::to_string(kRows[i].text_bytes)));
  }
  EXPECT_EQ(*FileSize(folder + "/documents.bin"), 64 + 5 * 56);
  EXPECT_EQ(*FileSize(folder + "/ids.u32"), 8 * 4);
}

TEST(TokenFileTest, NoDocumentsAndNoEos) {
  const std::string folder = WriteRows({}, std::nullopt);
  const absl::StatusOr<TokenFile> file = TokenFile::Open(folder);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->num_documents(), 0);
  EXPECT_FALSE(file->info().eos_id.has_value());
  EXPECT_TRUE(nlohmann::json::parse(*ReadFile(folder + "/manifest.json"))["eos_id"].is_null());
}

TEST(TokenFileTest, RefusesWhatIsNotWhole) {
  const std::string folder = WriteRows(kRows, 0);
  const std::string documents = *ReadFile(folder + "/documents.bin");
  const std::string ids = *ReadFile(folder + "/ids.u32");
  const auto with = [&](size_t offset, char value) {
    std::string changed = documents;
    changed[offset] = value;
    return changed;
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", ids},
      {documents.substr(0, documents.size() - 1), ids},
      {documents.substr(0, documents.size() - 56), ids},
      {documents, ids.substr(0, ids.size() - 4)},
      {with(0, 'X'), ids},
      {with(8, 2), ids},                                    // version
      {with(64 + 56 * 2, 100), ids},                        // first id after the end
      {with(64 + 56 * 3, 1), ids},                          // first id goes back
      {with(64 + 8, 3), ids},                               // unknown source
      {with(64 + 12, 2), ids},                              // unknown flag
      {std::string(64, '\0') + documents.substr(64), ids},  // never closed
  };
  for (const auto& [changed_documents, changed_ids] : cases) {
    ASSERT_TRUE(WriteFile(folder + "/documents.bin", changed_documents).ok());
    ASSERT_TRUE(WriteFile(folder + "/ids.u32", changed_ids).ok());
    EXPECT_EQ(TokenFile::Open(folder).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(TokenFileTest, MissingFolderIsNotFound) {
  EXPECT_EQ(TokenFile::Open(TempRoot() + "/nothing/here").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace millrace::data
