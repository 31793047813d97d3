#include "executor/backends/slurm_parse.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(SlurmParseTest, States) {
  // Slurm's own words: 22.05, and those of later versions.
  const std::pair<const char*, SlurmState> rows[] = {
      {"PENDING", SlurmState::kPending},
      {"CONFIGURING", SlurmState::kRunning},
      {"COMPLETING", SlurmState::kCompleting},
      {"REQUEUE_HOLD", SlurmState::kRequeued},
      {"CANCELLED by 1000", SlurmState::kCancelled},
      {"CANCELLED+", SlurmState::kCancelled},
      {"OUT_OF_MEMORY", SlurmState::kOutOfMemory},
      {"DEADLINE", SlurmState::kTimeout},
      {"NODE_FAIL", SlurmState::kNodeFail},
      {"RECONFIG_FAIL", SlurmState::kNodeFail},
      {"EXPEDITING", SlurmState::kPending},
      {"SOMETHING_NEW", SlurmState::kUnknown},
      {"", SlurmState::kUnknown},
  };
  for (const auto& [word, state] : rows) EXPECT_EQ(ParseSlurmState(word), state) << word;
  EXPECT_TRUE(IsActive(SlurmState::kRequeued));
  EXPECT_FALSE(IsActive(SlurmState::kUnknown));
}

TEST(SlurmParseTest, Tasks) {
  EXPECT_TRUE(ParseSlurmTasks("N/A")->index.empty());
  EXPECT_EQ(ParseSlurmTasks("7")->index, std::vector<int>{7});
  EXPECT_EQ(ParseSlurmTasks("2-5%2")->index, (std::vector<int>{2, 3, 4, 5}));
  EXPECT_EQ(ParseSlurmTasks("[0,3-4,8-12:2]")->index, (std::vector<int>{0, 3, 4, 8, 10, 12}));
  // What squeue cuts off where SLURM_BITSTR_LEN is not 0.
  EXPECT_TRUE(ParseSlurmTasks("1,3,5,...")->truncated);
  EXPECT_FALSE(ParseSlurmTasks("x").has_value());
  EXPECT_FALSE(ParseSlurmTasks("0-99999999999").has_value());
}

TEST(SlurmParseTest, Squeue) {
  // Of 22.05.8.
  const std::vector<SlurmJobLine> lines = ParseSqueue(
      "1|2-20%2|PENDING||arr|JobArrayTaskLimit\n"
      "4|N/A|PENDING||job.sh|PartitionNodeLimit\n"
      "2|N/A|PENDING||held|JobHeldUser\n"
      "1|0|RUNNING|ms1|arr|None\n"
      "9|N/A|RUNNING|ms[1-2]|a name|None\n"
      "6|N/A|FAILED||job.sh|BadConstraints\n"
      "7|N/A|PENDING||x|Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions\n"
      "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n");
  ASSERT_EQ(lines.size(), 7);
  EXPECT_EQ(lines[0].job, "1");
  EXPECT_EQ(lines[0].tasks.index.size(), 19);
  EXPECT_EQ(lines[0].reason, "JobArrayTaskLimit");
  EXPECT_EQ(lines[3].tasks.index, std::vector<int>{0});
  EXPECT_EQ(lines[3].nodes, "ms1");
  EXPECT_EQ(lines[4].nodes, "ms[1-2]");
  EXPECT_EQ(lines[4].name, "a name");
  EXPECT_TRUE(lines[4].tasks.index.empty());
  EXPECT_EQ(lines[5].state, SlurmState::kFailed);
  EXPECT_TRUE(IsHeld(lines[1].reason) && IsHeld(lines[2].reason));
  EXPECT_FALSE(IsHeld(lines[0].reason) || IsHeld(lines[6].reason) || IsHeld("Priority") || IsHeld("Resources"));
}

TEST(SlurmParseTest, Sacct) {
  const std::vector<SlurmJobLine> lines = ParseSacct(
      "17|NODE_FAIL|ms[1-2]\n18_4|CANCELLED by 1000|ms2\n18_[5-9]|PENDING|None assigned\n19+0|RUNNING|ms1\nnonsense\n");
  ASSERT_EQ(lines.size(), 3);
  EXPECT_EQ(lines[0].state, SlurmState::kNodeFail);
  EXPECT_EQ(lines[0].nodes, "ms[1-2]");
  EXPECT_EQ(lines[1].tasks.index, std::vector<int>{4});
  EXPECT_EQ(lines[1].word, "CANCELLED by 1000");
  EXPECT_EQ(lines[2].tasks.index.size(), 5);
  EXPECT_EQ(lines[2].nodes, "");
}

TEST(SlurmParseTest, Sbatch) {
  EXPECT_EQ(ParseSbatch("17\n"), "17");
  EXPECT_EQ(ParseSbatch("17;cluster\n"), "17");
  EXPECT_EQ(ParseSbatch("sbatch: a site's greeting\n17\n"), "17");
  EXPECT_FALSE(ParseSbatch("Submitted batch job 17\n").has_value());
  EXPECT_FALSE(ParseSbatch("").has_value());
}

TEST(SlurmParseTest, Config) {
  SlurmConfig config = ParseSlurmConfig(
      "Configuration data as of 2026-11-24T14:42:46\n"
      "AccountingStorageType   = accounting_storage/none\nMaxArraySize            = 1001\n"
      "SLURM_VERSION           = 22.05.8\n");
  EXPECT_EQ(config.max_array_size, 1001);
  EXPECT_FALSE(config.accounting);
  EXPECT_EQ(config.version, "22.05.8");
  EXPECT_TRUE(ParseSlurmConfig("AccountingStorageType   = accounting_storage/slurmdbd\n").accounting);
  EXPECT_FALSE(ParseSlurmConfig("AccountingStorageType   = (null)\n").accounting);
}

TEST(SlurmParseTest, Failures) {
  const std::pair<const char*, SlurmFailure> rows[] = {
      {"slurm_load_jobs error: Unable to contact slurm controller (connect failure)", SlurmFailure::kAway},
      {"sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", SlurmFailure::kAway},
      {"sbatch: error: Batch job submission failed: Slurm backup controller in standby mode", SlurmFailure::kAway},
      {"sbatch: error: Munge encode failed: Failed to access \"/run/munge/munge.socket.2\": No such file or directory",
       SlurmFailure::kAway},
      {"slurm_load_jobs error: Zero Bytes were transmitted or received", SlurmFailure::kAway},
      {"sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", SlurmFailure::kBusy},
      {"slurm_load_jobs error: RPC rate limit exceeded by uid 1000", SlurmFailure::kBusy},
      {"sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
       "accounting/QOS policy (job submit limit, user's size and/or time limits)",
       SlurmFailure::kQueueFull},
      {"slurm_load_jobs error: Invalid job id specified", SlurmFailure::kNoSuchJob},
      {"Slurm accounting storage is disabled", SlurmFailure::kNoAccounting},
      {"sbatch: error: invalid partition specified: nope\n"
       "sbatch: error: Batch job submission failed: Invalid partition name specified",
       SlurmFailure::kRefused},
      {"sbatch: error: Memory specification can not be satisfied\n"
       "sbatch: error: Batch job submission failed: Requested node configuration is not available",
       SlurmFailure::kRefused},
      {"sbatch: error: Batch job submission failed: Invalid job array specification", SlurmFailure::kRefused},
      {"sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
       SlurmFailure::kRefused},
  };
  for (const auto& [error, failure] : rows) EXPECT_EQ(ClassifySlurmFailure(error), failure) << error;
}

}  // namespace
}  // namespace millrace
