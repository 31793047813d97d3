#include "executor/backends/slurm_script.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace millrace {
namespace {

constexpr char kCluster[] = R"(
    name: "c"
    slurm { account: "llm" qos: "normal" signal_before_limit: "600" }
    pool {
      name: "gpu" partition: "h800" max_nodes: 32 cpus: 96 memory: "1932735283200" time_limit: "172800"
      accelerator { count: 8 memory: "85899345920" }
    }
    pool { name: "cpu" partition: "cpu" max_nodes: 2 cpus: 128 memory: "549755813888" constraint: "a|b" }
    storage { shared_path: "/lustre/llm/mill'race" })";

class SlurmScriptTest : public testing::Test {
 protected:
  SlurmScriptTest() {
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kCluster, &cluster_));
    spec_.stage = "pretrain";
    spec_.id = "20261124-1a2b-pretrain-1";
  }
  void AsGang() {
    spec_.pool = "gpu";
    spec_.ranks = 16;
    spec_.nodes = 2;
    spec_.cpus_per_rank = 12;
    spec_.gpus_per_rank = 1;
  }
  SlurmRequest Request() const { return *SlurmRequestFor(spec_, cluster_); }
  std::string Refusal() const { return std::string(SlurmRequestFor(spec_, cluster_).status().message()); }

  Cluster cluster_;
  GangSpec spec_;
};

TEST_F(SlurmScriptTest, AGang) {
  AsGang();
  EXPECT_EQ(*DryRunSlurmScript(spec_, cluster_), R"(#!/bin/sh
#SBATCH --job-name=millrace-20261124-1a2b-pretrain-1
#SBATCH --account=llm
#SBATCH --qos=normal
#SBATCH --partition=h800
#SBATCH --nodes=2
#SBATCH --ntasks=16
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --gres=gpu:8
#SBATCH --mem=0
#SBATCH --time=2880
#SBATCH --signal=B:TERM@600
#SBATCH --no-requeue
#SBATCH --chdir="/lustre/llm/mill'race/slurm/millrace-20261124-1a2b-pretrain-1"
#SBATCH --output="/lustre/llm/mill'race/slurm/millrace-20261124-1a2b-pretrain-1/job.out"
#SBATCH --open-mode=append

node='/lustre/llm/mill'\''race/slurm/slurm_node'
batch='/lustre/llm/mill'\''race/slurm/millrace-20261124-1a2b-pretrain-1'
[ -x "$node" ] || { echo "$SLURMD_NODENAME does not see $node" >&2; exit 97; }
exec "$node" run "$batch" \
  srun --nodes=2 --ntasks=16 --ntasks-per-node=8 --cpus-per-task=12 --distribution=block \
  --mpi=none --kill-on-bad-exit=0 --wait=0 --gres=gpu:8 "$node" rank
)");
}

TEST_F(SlurmScriptTest, AnArray) {
  spec_.pool = "cpu";
  spec_.cpus_per_rank = 64;
  spec_.time_limit = absl::Minutes(90);
  EXPECT_EQ(RenderSlurmScript(Request(), Slurm(), "millrace-x", "/home/100%/x", "/home/node", 200, {"n7", "n9"}),
            R"(#!/bin/sh
#SBATCH --job-name=millrace-x
#SBATCH --partition=cpu
#SBATCH --constraint="a|b"
#SBATCH --exclude=n7,n9
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --mem=262144M
#SBATCH --time=92
#SBATCH --no-requeue
#SBATCH --array=0-199%4
#SBATCH --chdir="/home/100%/x"
#SBATCH --output="/home/100%%/x/job.out"
#SBATCH --open-mode=append

node='/home/node'
batch='/home/100%/x'
[ -x "$node" ] || { echo "$SLURMD_NODENAME does not see $node" >&2; exit 97; }
exec "$node" run "$batch"
)");
}

TEST_F(SlurmScriptTest, RanksNeedNotSpreadEvenly) {
  AsGang();
  spec_.ranks = 10;
  const std::string script = *DryRunSlurmScript(spec_, cluster_);
  EXPECT_TRUE(absl::StrContains(script, "#SBATCH --ntasks=10\n#SBATCH --ntasks-per-node=5\n")) << script;
  EXPECT_TRUE(absl::StrContains(script, "#SBATCH --gres=gpu:5\n")) << script;
}

TEST_F(SlurmScriptTest, MemoryIsTheStagesOrAShare) {
  spec_.pool = "gpu";
  spec_.cpus_per_rank = 12;
  EXPECT_EQ(Request().memory_mib, 1843200 / 8);
  spec_.gpus_per_rank = 2;  // two of eight
  EXPECT_EQ(Request().memory_mib, 1843200 / 4);
  spec_.memory_bytes = (1 << 20) + 1;
  EXPECT_EQ(Request().memory_mib, 2);
  spec_.gpus_per_rank = 8;
  spec_.memory_bytes = 0;
  EXPECT_TRUE(Request().whole_node);
}

TEST_F(SlurmScriptTest, TheSignalIsForTheJobsLimitNotForTheStages) {
  AsGang();
  spec_.time_limit = absl::Hours(1);
  EXPECT_EQ(Request().minutes, 62);
  EXPECT_EQ(Request().signal_seconds, 0);
  spec_.time_limit = absl::Hours(100);
  EXPECT_EQ(Request().minutes, 2880);
  EXPECT_EQ(Request().signal_seconds, 600);
  // Never more than half of it.
  cluster_.mutable_pool(0)->set_time_limit("60");
  EXPECT_EQ(Request().minutes, 1);
  EXPECT_EQ(Request().signal_seconds, 30);
}

TEST_F(SlurmScriptTest, WhatAPoolCannotGive) {
  AsGang();
  spec_.pool = "tpu";
  EXPECT_EQ(Refusal(), "stage \"pretrain\": cluster \"c\" has no pool \"tpu\"");
  spec_.pool = "cpu";
  EXPECT_EQ(Refusal(), "stage \"pretrain\": asks for 8 GPUs a node of pool \"cpu\", which has 0");
  AsGang();
  spec_.nodes = 64;
  spec_.ranks = 64;
  EXPECT_EQ(Refusal(), "stage \"pretrain\": asks for 64 nodes of pool \"gpu\", which has 32");
  spec_.nodes = 1;
  EXPECT_EQ(Refusal(), "stage \"pretrain\": asks for 768 processors a node of pool \"gpu\", which has 96");
}

}  // namespace
}  // namespace millrace
