#include "executor/cli/expectations.h"

#include "gtest/gtest.h"

namespace millrace {
namespace {

constexpr char kText[] = R"(name: "p"  # a comment
profile {
  name: "base"
  expect { stage: "shards" digest: "sha256:00" }  # held by all
}
profile {
  name: "ci"
  extends: "base"
  expect { stage: "train" metric: "loss" golden: 5.10 tolerance: 0.02 }
	expect { stage: "train" metric: "exact" golden:7.5 }
  expect {
    stage: "eval"
    metric: "bits"
    max: 3.6
  }
}
profile { name: "other" expect { stage: "shards" digest: "sha256:11" } }
)";

google::protobuf::RepeatedPtrField<Expectation> Expectations() {
  google::protobuf::RepeatedPtrField<Expectation> all;
  Expectation* digest = all.Add();
  digest->set_stage("shards");
  digest->set_digest("sha256:00");
  Expectation* loss = all.Add();
  loss->set_stage("train");
  loss->set_metric("loss");
  loss->set_golden(5.10);
  loss->set_tolerance(0.02);
  Expectation* exact = all.Add();
  exact->set_stage("train");
  exact->set_metric("exact");
  exact->set_golden(7.5);
  Expectation* bits = all.Add();
  bits->set_stage("eval");
  bits->set_metric("bits");
  bits->set_max(3.6);
  return all;
}

std::map<std::string, ActionEntry> Entries(const std::string& digest, double loss, double exact, double bits) {
  std::map<std::string, ActionEntry> entries;
  OutputTree* output = entries["shards"].add_output();
  output->set_name("train");
  output->set_digest(digest);
  const auto add = [&](const char* stage, const char* name, double value) {
    Metric* metric = entries[stage].add_metric();
    metric->set_name(name);
    metric->set_value(value);
  };
  add("train", "loss", loss);
  add("train", "exact", exact);
  add("eval", "bits", bits);
  return entries;
}

TEST(ExpectationsTest, HoldOrNot) {
  for (const ExpectationResult& result : CheckExpectations(Expectations(), Entries("sha256:00", 5.11, 7.5, 3.6))) {
    EXPECT_TRUE(result.holds) << result.text;
  }
  const auto results = CheckExpectations(Expectations(), Entries("sha256:22", 5.13, 7.25, 3.61));
  for (const ExpectationResult& result : results) EXPECT_FALSE(result.holds) << result.text;
  EXPECT_EQ(results[0].text, "shards digest: sha256:22, expected sha256:00");
  EXPECT_EQ(results[1].text, "train loss: 5.13, expected 5.1 within 0.02");
  EXPECT_EQ(results[3].text, "eval bits: 3.61, expected at most 3.6");
}

TEST(ExpectationsTest, WhatIsNotThereDoesNotHold) {
  const auto results = CheckExpectations(Expectations(), {});
  for (const ExpectationResult& result : results) {
    EXPECT_FALSE(result.holds);
    EXPECT_FALSE(result.found);
  }
  EXPECT_EQ(results[0].text, "shards: there is no such output");
  EXPECT_EQ(results[1].text, "train loss: there is no such metric");
  auto entries = Entries("sha256:00", NAN, 7.5, 3);
  EXPECT_FALSE(CheckExpectations(Expectations(), entries)[1].holds) << "not a number";
}

TEST(ExpectationsTest, UpdatesChangeValuesAlone) {
  const auto results = CheckExpectations(Expectations(), Entries("sha256:22", 5.13, 7.25, 9));
  const std::string updated = UpdateExpectations(kText, "ci", results).value();
  EXPECT_EQ(LineDifference(kText, updated),
            "-4:   expect { stage: \"shards\" digest: \"sha256:00\" }  # held by all\n"
            "+4:   expect { stage: \"shards\" digest: \"sha256:22\" }  # held by all\n"
            "-9:   expect { stage: \"train\" metric: \"loss\" golden: 5.10 tolerance: 0.02 }\n"
            "+9:   expect { stage: \"train\" metric: \"loss\" golden: 5.13 tolerance: 0.02 }\n"
            "-10: \texpect { stage: \"train\" metric: \"exact\" golden:7.5 }\n"
            "+10: \texpect { stage: \"train\" metric: \"exact\" golden:7.25 }\n");
  // Bounds stay, other profiles stay, and what holds stays.
  EXPECT_EQ(
      UpdateExpectations(updated, "ci", CheckExpectations(Expectations(), Entries("sha256:22", 5.11, 7.5, 3))).value(),
      updated);
  EXPECT_FALSE(UpdateExpectations("name: ", "ci", results).ok());
}

}  // namespace
}  // namespace millrace
