#include "executor/engine/placement.h"

#include "executor/engine/pipeline_builder.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Cluster ClusterOf(const std::string& text) {
  Cluster cluster;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &cluster));
  return cluster;
}

const char kTwoPools[] = R"(
  ssh {}
  pool { name: "gpu" host { name: "g0" } host { name: "g1" } cpus: 8 memory: "1000" accelerator { count: 4 memory: "1" } }
  pool { name: "cpu" host { name: "c0" } host { name: "c1" } cpus: 4 memory: "1000" })";

Placement MustTake(Machines& machines, const GangNeeds& needs) {
  const auto taken = machines.Take(needs);
  EXPECT_TRUE(taken.ok()) << taken.status();
  EXPECT_TRUE(taken.ok() && taken->has_value());
  return taken.ok() && taken->has_value() ? **taken : Placement();
}

TEST(Machines, OneMachineIsSharedByItsProcessors) {
  Machines machines = Machines::OfThisMachine(4);
  EXPECT_EQ(machines.max_gangs(), 4);
  const Placement three = MustTake(machines, {.cpus_per_rank = 3});
  EXPECT_THAT(three.hosts, ElementsAre());
  EXPECT_FALSE((*machines.Take({.cpus_per_rank = 2})).has_value());
  EXPECT_FALSE((*machines.Take({.whole_machines = true})).has_value());
  MustTake(machines, {});
  EXPECT_FALSE(machines.any_free());
  machines.GiveBack(three);
  EXPECT_TRUE(machines.any_free());
}

// A laptop runs what asks for more processors than it has.
TEST(Machines, MoreProcessorsThanThereAreIsAllOfThem) {
  Machines machines = Machines::OfThisMachine(2);
  EXPECT_EQ(MustTake(machines, {.ranks = 4, .cpus_per_rank = 2}).cpus_per_rank, 1);
  EXPECT_FALSE(machines.any_free());
}

TEST(Machines, RanksGoSideBySideOnAsFewMachinesAsHoldThem) {
  Machines machines = Machines::OfCluster(ClusterOf(kTwoPools));
  const Placement six = MustTake(machines, {.ranks = 6, .gpus_per_rank = 1, .is_training = true});
  EXPECT_EQ(six.pool, "gpu");
  EXPECT_EQ(six.nodes, 2);
  EXPECT_THAT(six.hosts, ElementsAre("g0", "g0", "g0", "g1", "g1", "g1"));
  EXPECT_FALSE((*machines.Take({.ranks = 4, .gpus_per_rank = 1, .is_training = true})).has_value());
  machines.GiveBack(six);
  EXPECT_THAT(MustTake(machines, {.ranks = 4, .gpus_per_rank = 1, .is_training = true}).hosts,
              ElementsAre("g0", "g0", "g0", "g0"));
}

TEST(Machines, DataStagesLeaveTheAcceleratorsAlone) {
  Machines machines = Machines::OfCluster(ClusterOf(kTwoPools));
  EXPECT_EQ(MustTake(machines, {.whole_machines = true}).hosts, std::vector<std::string>{"c0"});
  const Placement second = MustTake(machines, {.cpus_per_rank = 2});
  EXPECT_THAT(second.hosts, ElementsAre("c1"));
  EXPECT_EQ(second.cpus_per_rank, 2);
}

TEST(Machines, SaysWhatCanNeverBe) {
  Machines machines = Machines::OfCluster(ClusterOf(kTwoPools));
  const auto never = machines.Take({.ranks = 9, .gpus_per_rank = 1, .is_training = true});
  ASSERT_TRUE(absl::IsFailedPrecondition(never.status()));
  EXPECT_THAT(never.status().ToString(), HasSubstr("pool \"gpu\" has 2 nodes with 8 processors, 4 GPUs"));
  EXPECT_TRUE(absl::IsFailedPrecondition(machines.Take({.memory_bytes = 2000, .is_training = true}).status()));
}

TEST(Machines, AQueueTakesAllThatItsNodesCanHold) {
  Machines machines = Machines::OfCluster(ClusterOf(R"(
    slurm { max_jobs_in_queue: 50 }
    pool { name: "main" max_nodes: 2 cpus: 4 memory: "1000" })"));
  EXPECT_EQ(machines.max_gangs(), 50);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(MustTake(machines, {.ranks = 6}).nodes, 2);
  EXPECT_FALSE(machines.Take({.ranks = 9}).ok());
}

TEST(CriticalPath, IsTheLongestWayToTheEnd) {
  PipelineBuilder builder;
  builder.Shell("a", "");
  builder.Shell("b", "");
  builder.Shell("c", "", {"a"});
  builder.Shell("d", "", {"b", "c"});
  EXPECT_THAT(CriticalPathSeconds(builder.pipeline(), {1, 5, 2, 4}), ElementsAre(7, 9, 6, 4));
}

}  // namespace
}  // namespace millrace
