// The three stages, one after the other.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/sha256.h"
#include "data/corpus/document.h"
#include "data/tokenizer/import_tokenizer_stage.h"
#include "data/tokenizer/token_file.h"
#include "data/tokenizer/tokenize_stage.h"
#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/train_tokenizer_stage.h"

namespace millrace::data {
namespace {

struct Outcome {
  absl::Status status;
  std::string out;
  std::map<std::string, double> metrics;
  int warnings = 0;
};

template <typename Parameters>
Outcome RunStageBody(absl::Status (*body)(Stage&, const Parameters&), const Parameters& parameters,
                     const std::vector<std::pair<std::string, std::string>>& inputs, const std::string& output,
                     int threads = 1) {
  Outcome outcome;
  const std::string folder = *MakeTempDirectory("stage");
  outcome.out = folder + "/out";
  EXPECT_TRUE(CreateDirectories(outcome.out).ok());
  StageRequest request;
  for (const auto& [name, path] : inputs) {
    StageInput* input = request.add_input();
    input->set_name(name);
    input->set_path(path);
  }
  StageOutput* const out = request.add_output();
  out->set_name(output);
  out->set_path(outcome.out);
  StageGang gang;
  gang.set_threads(threads);
  {
    Stage stage(request, gang, folder + "/events");
    outcome.status = body(stage, parameters);
  }
  std::istringstream events(*ReadFile(folder + "/events"));
  for (std::string line; std::getline(events, line);) {
    const nlohmann::json event = nlohmann::json::parse(line);
    if (event.contains("metric")) outcome.metrics[event["metric"]["name"]] = event["metric"]["value"];
    outcome.warnings += event.contains("warning");
  }
  return outcome;
}

std::string WriteDocuments(const std::vector<Document>& documents, int sources) {
  const std::string folder = *MakeTempDirectory("documents");
  DocumentWriter writer(folder);
  for (const Document& document : documents) EXPECT_TRUE(writer.Write(document).ok());
  EXPECT_TRUE(writer.Close(sources).ok());
  return folder;
}

std::vector<Document> SomeDocuments() {
  std::vector<Document> documents;
  for (int i = 0; i < 40; ++i) {
    Document document;
    document.id = absl::StrCat("d", i);
    document.text =
        absl::StrCat("the cat number ", i, " and the other cats\n", std::string(i % 5, '!'), "中文 ", i * i);
    document.source = i % 2;
    document.held_out = i % 10 == 9;
    if (document.held_out) document.text = absl::StrCat("QQQQQQQQ zzzzzzzz ", i);
    documents.push_back(document);
  }
  return documents;
}

TrainTokenizer TrainParameters(int vocab_size) {
  TrainTokenizer parameters;
  parameters.set_vocab_size(vocab_size);
  return parameters;
}

TEST(StagesTest, TrainThenTokenize) {
  const std::string documents = WriteDocuments(SomeDocuments(), 2);
  std::string first_json;
  for (const int threads : {1, 4}) {
    const Outcome train =
        RunStageBody(TrainTokenizerStage, TrainParameters(280), {{"from.0", documents}}, "tokenizer", threads);
    ASSERT_TRUE(train.status.ok()) << train.status;
    EXPECT_EQ(train.metrics.at("vocab_size"), 280);
    EXPECT_EQ(train.metrics.at("merges"), 23);
    EXPECT_EQ(train.metrics.at("documents"), 36);
    EXPECT_GT(train.metrics.at("bytes_per_token"), 1.5);
    const std::string json = *ReadFile(train.out + "/tokenizer.json");
    if (first_json.empty()) first_json = json;
    EXPECT_EQ(json, first_json);

    const Tokenizer tokenizer = *Tokenizer::Load(train.out);
    EXPECT_EQ(tokenizer.vocab_size(), 280);
    EXPECT_EQ(tokenizer.eos_id(), 0);
    EXPECT_EQ(*tokenizer.TokenBytes(0), "<|end_of_text|>");
    // What only held-out documents have is not learnt.
    EXPECT_EQ(tokenizer.Encode("zzzzzzzz", SpecialTokens::kAsText).size(), 8);
    EXPECT_EQ(tokenizer.Encode(" cat", SpecialTokens::kAsText).size(), 1);

    const Outcome tokens =
        RunStageBody(TokenizeStage, Tokenize(),
                     {{"from.0", documents}, {"from.1", documents}, {"tokenizer", train.out}}, "tokens", threads);
    ASSERT_TRUE(tokens.status.ok()) << tokens.status;
    const absl::StatusOr<TokenFile> file = TokenFile::Open(tokens.out);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->num_documents(), 80);
    EXPECT_EQ(file->info().sources, 4);
    EXPECT_EQ(file->info().vocab_size, 280);
    EXPECT_EQ(file->info().eos_id, 0);
    EXPECT_EQ(tokens.metrics.at("documents"), 80);
    EXPECT_EQ(tokens.metrics.at("tokens"), file->info().ids);
    EXPECT_EQ(tokens.metrics.at("bytes"), file->info().text_bytes);
    for (int i = 0; i < 80; ++i) {
      const Document expected = SomeDocuments()[i % 40];
      const TokenDocument document = file->document(i);
      EXPECT_EQ(tokenizer.Decode(document.ids), expected.text);
      EXPECT_EQ(document.source, expected.source + (i >= 40 ? 2 : 0));
      EXPECT_EQ(document.held_out, expected.held_out);
      EXPECT_EQ(document.text_bytes, expected.text.size());
      EXPECT_EQ(document.text_sha256, Sha256Of(expected.text));
    }
  }
}

TEST(StagesTest, ADocumentCannotEndItself) {
  Document document;
  document.id = "d";
  document.text = "text<|end_of_text|>more";
  const std::string documents = WriteDocuments({document}, 1);
  const Outcome train = RunStageBody(TrainTokenizerStage, TrainParameters(258), {{"from.0", documents}}, "tokenizer");
  ASSERT_TRUE(train.status.ok()) << train.status;
  const Outcome tokens =
      RunStageBody(TokenizeStage, Tokenize(), {{"from.0", documents}, {"tokenizer", train.out}}, "tokens");
  ASSERT_TRUE(tokens.status.ok()) << tokens.status;
  const TokenFile file = *TokenFile::Open(tokens.out);
  for (const uint32_t id : file.ids()) EXPECT_NE(id, 0);
  EXPECT_EQ(Tokenizer::Load(train.out)->Decode(file.ids()), document.text);
}

TEST(StagesTest, TrainsOnASample) {
  const std::string documents = WriteDocuments(SomeDocuments(), 2);
  TrainTokenizer parameters = TrainParameters(270);
  parameters.set_sample("500");
  const Outcome one = RunStageBody(TrainTokenizerStage, parameters, {{"from.0", documents}}, "tokenizer", 1);
  ASSERT_TRUE(one.status.ok()) << one.status;
  EXPECT_GE(one.metrics.at("bytes"), 500);
  EXPECT_LT(one.metrics.at("bytes"), 600);
  const Outcome four = RunStageBody(TrainTokenizerStage, parameters, {{"from.0", documents}}, "tokenizer", 4);
  EXPECT_EQ(*ReadFile(one.out + "/tokenizer.json"), *ReadFile(four.out + "/tokenizer.json"));
  parameters.set_sample("1GB");
  const Outcome all = RunStageBody(TrainTokenizerStage, parameters, {{"from.0", documents}}, "tokenizer", 1);
  EXPECT_EQ(all.metrics.at("documents"), 36);
}

TEST(StagesTest, TooFewPairsIsTheUsersToMend) {
  const std::string documents = WriteDocuments(SomeDocuments(), 2);
  const Outcome outcome =
      RunStageBody(TrainTokenizerStage, TrainParameters(100000), {{"from.0", documents}}, "tokenizer");
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(outcome.status.message().find("fix: set vocab_size to at most"), absl::string_view::npos);
}

TEST(StagesTest, EachPreTokenizerTrains) {
  const std::string documents = WriteDocuments(SomeDocuments(), 2);
  for (const auto pre_tokenizer : {DEEPSEEK_LLM, DEEPSEEK_CODER, DEEPSEEK_V3, GPT2}) {
    TrainTokenizer parameters = TrainParameters(275);
    parameters.set_pre_tokenizer(pre_tokenizer);
    const Outcome outcome = RunStageBody(TrainTokenizerStage, parameters, {{"from.0", documents}}, "tokenizer");
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    const Tokenizer tokenizer = *Tokenizer::Load(outcome.out);
    const std::string text = "the cat 1234\n\n中文, x";
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text, SpecialTokens::kAsText)), text);
  }
}

TEST(StagesTest, Import) {
  const std::string documents = WriteDocuments(SomeDocuments(), 2);
  const Outcome train = RunStageBody(TrainTokenizerStage, TrainParameters(280), {{"from.0", documents}}, "tokenizer");
  const std::string folder = *MakeTempDirectory("files");
  ASSERT_TRUE(CreateDirectories(folder + "/my/model").ok());
  const std::string json = *ReadFile(train.out + "/tokenizer.json");
  ASSERT_TRUE(WriteFile(folder + "/my/model/tokenizer.json", json).ok());

  const Outcome imported =
      RunStageBody(ImportTokenizerStage, ::millrace::Tokenizer(), {{"files", folder}}, "tokenizer");
  ASSERT_TRUE(imported.status.ok()) << imported.status;
  EXPECT_EQ(*ReadFile(imported.out + "/tokenizer.json"), json);
  EXPECT_EQ(*ReadFile(imported.out + "/tokenizer_config.json"), *ReadFile(train.out + "/tokenizer_config.json"));
  EXPECT_EQ(imported.metrics.at("vocab_size"), 280);
  EXPECT_EQ(imported.metrics.at("merges"), 23);
  EXPECT_EQ(imported.warnings, 0);

  ASSERT_TRUE(WriteFile(folder + "/tokenizer.json", json).ok());
  const Outcome two = RunStageBody(ImportTokenizerStage, ::millrace::Tokenizer(), {{"files", folder}}, "tokenizer");
  EXPECT_EQ(two.status.code(), absl::StatusCode::kInvalidArgument);
  const Outcome none = RunStageBody(ImportTokenizerStage, ::millrace::Tokenizer(), {{"files", documents}}, "tokenizer");
  EXPECT_EQ(none.status.code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace millrace::data
