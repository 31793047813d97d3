#include "data/corpus/corpus_stage.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "data/corpus/stage_harness.h"

namespace millrace::data {
namespace {

std::string Gzip(absl::string_view text) {
  z_stream stream = {};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = text.size();
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = out.size();
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(absl::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

StageOutcome RunOn(const std::map<std::string, std::string>& files, const Corpus& parameters, int threads = 1,
                   uint64_t seed = 0) {
  StageHarness harness;
  harness.AddFiles("files", files);
  return harness.Run([&](Stage& stage) { return RunCorpus(stage, parameters); }, threads, seed);
}

Corpus Lenient() {
  Corpus corpus;
  corpus.set_max_bad_fraction(1);
  return corpus;
}

TEST(CorpusStageTest, FilesInByteOrderLinesInOrder) {
  Corpus parameters;
  parameters.set_language("en");
  parameters.set_licence("CC0-1.0");
  const StageOutcome outcome = RunOn({{"b.jsonl", "{\"text\":\"3\"}\n\n  \n{\"text\":\"4\", \"language\":\"zh\"}"},
                                      {"a/z.txt", "line 1\nline 2\n"},
                                      {"a/B.md", "\xef\xbb\xbf# two"},
                                      {"c.txt", ""}},
                                     parameters);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.documents, (std::vector<Document>{{"a/B.md", "# two", 0, "en", "CC0-1.0"},
                                                      {"a/z.txt", "line 1\nline 2\n", 0, "en", "CC0-1.0"},
                                                      {"b.jsonl:1", "3", 0, "en", "CC0-1.0"},
                                                      {"b.jsonl:4", "4", 0, "zh", "CC0-1.0"},
                                                      {"c.txt", "", 0, "en", "CC0-1.0"}}));
  EXPECT_EQ(outcome.metrics.at("files"), 4);
  EXPECT_EQ(outcome.metrics.at("documents"), 5);
  EXPECT_EQ(outcome.metrics.at("bytes"), 21);
  EXPECT_EQ(outcome.files.at("manifest.json"), "{\"documents\": 5, \"bytes\": 21, \"sources\": 1}\n");
}

TEST(CorpusStageTest, Fields) {
  Corpus parameters;
  parameters.set_text_field("content");
  parameters.set_id_field("url");
  const StageOutcome outcome =
      RunOn({{"a.jsonl",
              "{\"url\":\"u1\",\"text\":\"no\",\"content\":\"\\u5e8a\\n\\ud83d\\ude00\\\"\",\"big\":"
              "123456789012345678901234567890}\r\n"
              "{\"content\":\"b\",\"nested\":{\"url\":\"x\",\"content\":[\"y\"]},\"url\":17}\n"}},
            parameters);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.documents, (std::vector<Document>{{"u1", "床\n😀\""}, {"17", "b"}}));
}

TEST(CorpusStageTest, FormatByNameOrByOrder) {
  const std::map<std::string, std::string> files = {{"a.jsonl", "{\"text\":\"x\"}"}, {"b", "{\"text\":\"y\"}"}};
  Corpus parameters;
  const auto texts = [&](Corpus::Format format) {
    parameters.set_format(format);
    std::string texts;
    for (const Document& document : RunOn(files, parameters).documents) absl::StrAppend(&texts, document.text, ";");
    return texts;
  };
  EXPECT_EQ(texts(Corpus::AUTO), "x;{\"text\":\"y\"};");
  EXPECT_EQ(texts(Corpus::JSONL), "x;y;");
  EXPECT_EQ(texts(Corpus::PLAIN_TEXT), "{\"text\":\"x\"};{\"text\":\"y\"};");
}

TEST(CorpusStageTest, BadLinesAreCountedAndNamed) {
  const struct {
    std::string line;
    std::string metric, why;
  } kRows[] = {
      {"not json", "not_json", "the line is not a JSON object"},
      {"[1]", "not_json", "the line is not a JSON object"},
      {"\"text\"", "not_json", "the line is not a JSON object"},
      {"{\"text\": \"a", "not_json", "the line is not a JSON object"},
      {"{\"text\": \"a\"", "not_json", "the line is not a JSON object"},
      {"{\"text\": \"a\"} x", "not_json", "the line is not a JSON object"},
      {"{\"text\": \"a\"}{\"text\": \"b\"}", "not_json", "something follows"},
      {"{\"text\": \"\\ud800\"}", "not_json", "the line is not a JSON object"},
      {"{\"text\": \"a\xff\"}", "not_utf8", "the line is not UTF-8"},
      {"{\"text\": \"\xed\xa0\x80\"}", "not_utf8", "the line is not UTF-8"},
      {"{}", "no_text", "no string \"text\""},
      {"{\"text\": 7}", "no_text", "no string \"text\""},
      {"{\"text\": null}", "no_text", "no string \"text\""},
  };
  for (const auto& row : kRows) {
    const StageOutcome outcome =
        RunOn({{"a.jsonl", absl::StrCat("{\"text\":\"1\"}\n", row.line, "\n{\"text\":\"3\"}\n")}}, Lenient());
    ASSERT_TRUE(outcome.status.ok()) << outcome.status << row.line;
    EXPECT_EQ(outcome.ids(), (std::vector<std::string>{"a.jsonl:1", "a.jsonl:3"})) << row.line;
    EXPECT_EQ(outcome.metrics.at("documents_bad"), 1);
    EXPECT_EQ(outcome.metrics.at("documents_bad." + row.metric), 1) << row.line;
    ASSERT_EQ(outcome.warnings.size(), 1);
    EXPECT_TRUE(absl::StartsWith(outcome.warnings[0], absl::StrCat("a.jsonl:2: "))) << outcome.warnings[0];
    EXPECT_TRUE(absl::StrContains(outcome.warnings[0], row.why)) << outcome.warnings[0];
  }
  Corpus with_id = Lenient();
  with_id.set_id_field("id");
  EXPECT_EQ(
      RunOn({{"a.jsonl", "{\"text\":\"1\"}\n{\"text\":\"1\",\"id\":true}"}}, with_id).metrics.at("documents_bad.no_id"),
      2);
}

TEST(CorpusStageTest, SaysWhatBadFilesLookLike) {
  const struct {
    std::string name, content, why;
  } kRows[] = {
      {"a.txt", std::string("\xFF\xFEh\0i\0", 6), "a.txt: the text is not UTF-8: it looks like UTF-16; iconv"},
      {"a.jsonl", std::string("\xFE\xFF\0{\0}", 6), "a.jsonl:1: the line is not"},
      {"a.jsonl", Gzip("{}"), "a.jsonl:1: the line is not UTF-8: it looks like gzip; name it .gz"},
      {"a.txt", Zstd("text"), "a.txt: the text is not UTF-8: it looks like zstd; name it .zst"},
      {"a.txt.bz2", "BZh91AY&SY\xD2", "a.txt.bz2: the text is not UTF-8: it looks like bzip2; compress it as .gz"},
      {"a.parquet", "PAR1\x15\xFF", "a.parquet: the text is not UTF-8: it looks like Parquet; write it as JSON lines"},
      {"a.txt", "caf\xE9!", "a.txt: the text is not UTF-8: byte 0xE9 at offset 3"},
      {"a.jsonl", "{\"text\":\"\xEF\xBF\xBD\xC3\"}", "a.jsonl:1: the line is not UTF-8: byte 0xC3 at offset 12"},
      {"a.jsonl", "{\"body\":\"x\", \"id\":1}", "a.jsonl:1: the line has no string \"text\", but \"body\", \"id\""},
  };
  for (const auto& row : kRows) {
    const StageOutcome outcome = RunOn({{row.name, row.content}}, Lenient());
    ASSERT_TRUE(outcome.status.ok()) << outcome.status << row.why;
    EXPECT_EQ(outcome.metrics.at("documents_bad"), 1) << row.why;
    ASSERT_EQ(outcome.warnings.size(), 1) << row.why;
    EXPECT_TRUE(absl::StartsWith(outcome.warnings[0], row.why)) << outcome.warnings[0];
  }
}

TEST(CorpusStageTest, WarnsOfWhatIsSeldomMeant) {
  const std::map<std::string, std::string> files = {
      {"a.jsonl", ""}, {"b.jsonl", "\n \r\n"}, {"c.jsonl", "{\"text\":\"x\"}"}, {"d.json.gz", Gzip("{}\n{}\n")}};
  StageOutcome outcome = RunOn(files, Corpus());
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.metrics.at("files_empty"), 2);
  EXPECT_EQ(outcome.warnings,
            (std::vector<std::string>{"JSONL files without a document: a.jsonl, b.jsonl",
                                      "read as one document each: d.json.gz\n"
                                      "  why: without a `format` only .jsonl means a document a line\n"
                                      "  fix: format: JSONL, or format: PLAIN_TEXT if that is meant"}));
  Corpus parameters = Lenient();
  parameters.set_format(Corpus::PLAIN_TEXT);
  outcome = RunOn(files, parameters);
  EXPECT_EQ(outcome.metrics.at("files_empty"), 0);
  EXPECT_TRUE(outcome.warnings.empty());
}

TEST(CorpusStageTest, TooManyBadFail) {
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += i % 100 == 7 ? "bad\n" : "{\"text\":\"x\"}\n";
  Corpus parameters;
  parameters.set_max_bad_fraction(0.01);
  StageOutcome outcome = RunOn({{"a.jsonl", lines}}, parameters);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.warnings.size(), 5);
  EXPECT_EQ(outcome.metrics.at("documents_bad"), 10);
  parameters.set_max_bad_fraction(0.009);
  outcome = RunOn({{"a.jsonl", lines}}, parameters);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(
      absl::StartsWith(outcome.status.message(),
                       "10 of 1000 documents are bad (0.01), and max_bad_fraction is 0.009\n  first: a.jsonl:8: "))
      << outcome.status;
}

// Blocks, rests of lines, long lines; plain, compressed, in several members; on several threads: the same documents.
TEST(CorpusStageTest, StreamsCompressedInput) {
  std::string lines;
  for (int i = 0; i < 12000; ++i) {
    const size_t size = i == 777 ? 9000000 : (i * 7919) % 700;
    absl::StrAppend(&lines, "{\"text\":\"", i, " ", std::string(size, 'a' + i % 26), "\"}", i % 3 ? "\n" : "\r\n");
  }
  const std::string half = lines.substr(0, lines.size() / 2), rest = lines.substr(lines.size() / 2);
  StageHarness plain;
  plain.AddFiles("files", {{"a.jsonl", lines}});
  Corpus parameters;
  const auto body = [&](Stage& stage) { return RunCorpus(stage, parameters); };
  StageOutcome expected = plain.Run(body);
  ASSERT_TRUE(expected.status.ok()) << expected.status;
  ASSERT_EQ(expected.documents.size(), 12000);
  EXPECT_EQ(expected.documents[11999].id, "a.jsonl:12000");
  EXPECT_EQ(expected.documents[777].text.size(), 9000000 + 4);
  for (const int threads : {2, 7}) EXPECT_TRUE(plain.Run(body, threads).files == expected.files);
  const std::map<std::string, std::string> compressed = {{"a.jsonl.gz", Gzip(lines)},
                                                         {"b.jsonl.gz", Gzip(half) + Gzip(rest)},
                                                         {"c.jsonl.zst", Zstd(lines)},
                                                         {"d.jsonl.zst", Zstd(half) + Zstd(rest)}};
  for (const auto& [name, content] : compressed) {
    const StageOutcome outcome = RunOn({{name, content}}, parameters, 2);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    ASSERT_EQ(outcome.documents.size(), 12000) << name;
    for (int i = 0; i < 12000; ++i) ASSERT_TRUE(outcome.documents[i].text == expected.documents[i].text) << name << i;
    EXPECT_EQ(outcome.documents[4].id, name + ":5");
  }
  for (const auto& [name, content] : compressed) {
    const StageOutcome outcome = RunOn({{name, content.substr(0, content.size() - 20)}}, parameters);
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_TRUE(absl::StrContains(outcome.status.message(), name)) << outcome.status;
    EXPECT_TRUE(absl::StrContains(outcome.status.message(), "it ends early")) << outcome.status;
  }
  for (const char* name : {"a.jsonl.gz", "a.jsonl.zst"}) {
    EXPECT_TRUE(absl::StrContains(RunOn({{name, ""}}, parameters).status.message(), "it is empty"));
    EXPECT_TRUE(
        absl::StrContains(RunOn({{name, "{\"text\":\"not compressed\"}"}}, parameters).status.message(), "damaged"));
  }
  EXPECT_EQ(RunOn({{"a.txt.gz", Gzip("text")}}, parameters).documents, (std::vector<Document>{{"a.txt.gz", "text"}}));
}

TEST(CorpusStageTest, TakeIsAStableSample) {
  std::string lines;
  std::vector<std::pair<std::string, std::string>> by_hash;  // hash, id
  for (int i = 0; i < 2000; ++i) {
    const std::string text = absl::StrCat("document ", i * i, std::string(i % 50, 'x'));
    absl::StrAppend(&lines, "{\"text\":\"", text, "\"}\n");
    by_hash.emplace_back(Sha256Hex(std::string("\x07\0\0\0\0\0\0\0", 8) + text), absl::StrCat("a.jsonl:", i + 1));
  }
  Corpus parameters;
  parameters.set_take("5000");
  const StageOutcome outcome = RunOn({{"a.jsonl", lines}}, parameters, 1, 7);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_GE(outcome.metrics.at("bytes"), 5000);
  EXPECT_LT(outcome.metrics.at("bytes"), 5100);
  EXPECT_EQ(outcome.metrics.at("documents_read"), 2000);
  EXPECT_EQ(outcome.metrics.at("documents"), outcome.documents.size());

  // Those with the smallest hashes, in the order of the file.
  std::sort(by_hash.begin(), by_hash.end());
  std::vector<std::string> expected;
  for (size_t i = 0; i < outcome.documents.size(); ++i) expected.push_back(by_hash[i].second);
  std::vector<std::string> ids = outcome.ids();
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end(), [](const std::string& a, const std::string& b) {
    return std::stoi(a.substr(8)) < std::stoi(b.substr(8));
  }));
  std::sort(ids.begin(), ids.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(ids, expected);

  EXPECT_TRUE(RunOn({{"a.jsonl", lines}}, parameters, 7, 7).files == outcome.files);
  EXPECT_FALSE(RunOn({{"a.jsonl", lines}}, parameters, 1, 8).files == outcome.files);
  parameters.set_take("1000000");
  EXPECT_EQ(RunOn({{"a.jsonl", lines}}, parameters).documents.size(), 2000);
}

TEST(CorpusStageTest, NoFilesIsAnError) {
  EXPECT_EQ(RunOn({}, Corpus()).status.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace::data
