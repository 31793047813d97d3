// The programs `pack` and `mix` as the executor starts them: a request file, constant paths, one after the other.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "data/shards/batch_order.h"
#include "data/shards/held_out.h"
#include "data/tokenizer/token_file.h"

namespace millrace::data {
namespace {

class StageProgramsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("stage");
    program_folder_ = absl::StrCat(std::getenv("PWD"), "/data/shards");
    ASSERT_TRUE(CreateDirectories(folder_ + "/in/from").ok());
    for (const char* output : {"train", "held_out", "mixture"})
      ASSERT_TRUE(CreateDirectories(JoinPath(folder_, absl::StrCat("out/", output))).ok());
  }

  // Returns the exit status.
  int RunProgram(const std::string& program, const std::string& request) {
    EXPECT_TRUE(WriteFile(folder_ + "/request.json", request).ok());
    const std::string command =
        absl::StrCat("cd ", folder_, " && MILLRACE_REQUEST=request.json MILLRACE_EVENTS=events ", program_folder_, "/",
                     program, " 2>stderr");
    return WEXITSTATUS(std::system(command.c_str()));
  }

  std::string folder_, program_folder_;
};

void WriteTokens(const std::string& folder, std::optional<uint32_t> eos_id) {
  TokenFileInfo info;
  info.sources = 2;
  info.vocab_size = 500;
  info.eos_id = eos_id;
  TokenFileWriter writer = *TokenFileWriter::Create(folder, info);
  for (uint32_t i = 0; i < 100; ++i) {
    const std::vector<uint32_t> ids(5 + i % 17, 1 + i);
    TokenDocument document;
    document.ids = ids;
    document.source = i % 2;
    document.held_out = i % 10 == 3;
    document.text_bytes = ids.size() * 2;
    document.text_sha256 = Sha256Of(absl::StrCat(i));
    writer.Append(document);
  }
  ASSERT_TRUE(writer.Close().ok());
}

constexpr char kPack[] = R"({"kind": "pack",
  "parameters": {"@type": "type.googleapis.com/millrace.Pack", "sequenceLength": 16, "shardSize": "1000"},
  "input": [{"name": "from", "path": "in/from", "artifact": "TOKENS"}],
  "output": [{"name": "train", "path": "out/train", "artifact": "SHARDS"},
             {"name": "held_out", "path": "out/held_out", "artifact": "SHARDS"}]})";

constexpr char kMix[] = R"({"kind": "mix", "seed": "42",
  "parameters": {"@type": "type.googleapis.com/millrace.Mix", "component": [
      {"source": "0", "weight": 0.5, "maxEpochs": 2}, {"source": "1", "weight": 0.5, "maxEpochs": 2}]},
  "input": [{"name": "component.0.from", "path": "out/train", "artifact": "SHARDS"},
            {"name": "component.1.from", "path": "out/train", "artifact": "SHARDS"}],
  "output": [{"name": "mixture", "path": "out/mixture", "artifact": "MIXTURE"}]})";

TEST_F(StageProgramsTest, FromTokensToTheTrainersDoor) {
  WriteTokens(folder_ + "/in/from", 0);
  ASSERT_EQ(RunProgram("pack", kPack), 0) << *ReadFile(folder_ + "/stderr");
  ASSERT_EQ(RunProgram("mix", kMix), 0) << *ReadFile(folder_ + "/stderr");
  const std::string events = *ReadFile(folder_ + "/events");
  for (const char* metric : {"tokens.source_0", "padding_fraction", "epochs.component_1", "share.component_0"})
    EXPECT_NE(events.find(metric), std::string::npos) << metric;

  const absl::StatusOr<BatchOrder> order = BatchOrder::Open(folder_ + "/out/mixture", 42);
  ASSERT_TRUE(order.ok()) << order.status();
  EXPECT_EQ(order->sequence_length(), 16);
  EXPECT_FALSE(order->attend_across_documents());
  for (int64_t step = 1; step <= *order->num_positions() / 4; ++step) {
    std::vector<int> of_source(2);
    const std::vector<SequenceRef> rows = *order->RowsForStep(step, 4);
    for (const SequenceRef& ref : rows) ++of_source[order->Read(ref)->source];
    EXPECT_EQ(of_source, std::vector<int>({2, 2}));
  }
  EXPECT_EQ(HeldOutSet::Open(folder_ + "/out/held_out")->num_documents(), 10);
}

TEST_F(StageProgramsTest, BadInputIsExitStatus2) {
  WriteTokens(folder_ + "/in/from", std::nullopt);
  EXPECT_EQ(RunProgram("pack", kPack), 2);
  EXPECT_NE(ReadFile(folder_ + "/stderr")->find("end-of-text"), std::string::npos);
  EXPECT_EQ(RunProgram("mix", kMix), 2);  // nothing was packed
}

}  // namespace
}  // namespace millrace::data
