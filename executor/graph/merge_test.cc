#include "executor/graph/merge.h"

#include <string>
#include <vector>

#include "executor/graph/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipelines/schema/pipeline.pb.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

// Parses a pipeline, applies the profile and the flags, writes it out. Errors come after "error: ".
std::string Merged(const std::string& text, const std::string& profile, const std::vector<std::string>& sets = {},
                   ProfileSettings* settings_out = nullptr) {
  Sources sources;
  Diagnostics diagnostics;
  ParseResult parsed = ParseText(text, FactsOf(Pipeline::descriptor()), sources, sources.Add("f"), diagnostics);
  ProfileSettings settings;
  ApplyProfile(*parsed.root, profile, Location{"--profile", 0, 0}, sources, diagnostics, settings);
  for (const std::string& set : sets) {
    ApplySet(*parsed.root, set, sources, Place{sources.Add("--set " + set), 0, 0}, diagnostics);
  }
  if (settings_out != nullptr) *settings_out = std::move(settings);
  if (diagnostics.has_errors()) return "error: " + diagnostics.ToString();
  return ToText(*parsed.root);
}

struct Case {
  const char* rule;
  const char* base;
  const char* profile;
  const char* merged;
};

TEST(Merge, FollowsTheRules) {
  const Case cases[] = {
      {"scalars replace", R"(stage { name: "a" pack { from: "x" sequence_length: 4 } })",
       R"(stage { name: "a" pack { sequence_length: 8 } })",
       "stage { name: \"a\" pack { from: \"x\" sequence_length: 8 } }\n"},
      {"messages merge", R"(stage { name: "a" dedup { from: "x" minhash { bands: 4 } } })",
       R"(stage { name: "a" description: "d" dedup { exact {} minhash { rows_per_band: 2 } } })",
       "stage {\n  name: \"a\"\n  description: \"d\"\n  dedup { from: \"x\" exact {} minhash { bands: 4 rows_per_band: "
       "2 } "
       "}\n}\n"},
      {"lists of scalars replace", R"(stage { name: "a" filter { from: "x" from: "y" } })",
       R"(stage { name: "a" filter { from: "z" } })", "stage { name: \"a\" filter { from: \"z\" } }\n"},
      {"lists with a key merge, new entries come last",
       R"(stage { name: "a" filter { rule { name: "p" bytes { min: 1 } } rule { name: "q" words { min: 1 } } } })",
       R"(stage { name: "a" filter { rule { name: "r" words { max: 1 } } rule { name: "p" bytes { max: 9 } } } })",
       "stage {\n  name: \"a\"\n  filter {\n    rule { name: \"p\" bytes { min: 1 max: 9 } }\n    rule { name: \"q\" "
       "words "
       "{ min: 1 } }\n    rule { name: \"r\" words { max: 1 } }\n  }\n}\n"},
      {"entries without their key are paired in order",
       R"(stage { name: "a" mix { component { from: "x" weight: 0.5 } component { from: "y" weight: 0.5 } } })",
       R"(stage { name: "a" mix { component { weight: 0.25 } component { weight: 0.75 } } })",
       "stage {\n  name: \"a\"\n  mix { component { from: \"x\" weight: 0.25 } component { from: \"y\" weight: 0.75 } "
       "}\n}\n"},
      {"lists without a key replace",
       R"(stage { name: "a" train { schedule { multi_step { milestone { at_fraction: 0.1 } milestone { at_fraction: 0.2 } } } } })",
       R"(stage { name: "a" train { schedule { multi_step { milestone { at_fraction: 0.3 } } } } })",
       "stage { name: \"a\" train { schedule { multi_step { milestone { at_fraction: 0.3 } } } } }\n"},
      {"a oneof member clears the others", R"(stage { name: "a" train { max_tokens: "2T" data: "x" } })",
       R"(stage { name: "a" train { max_steps: 5 } })", "stage { name: \"a\" train { data: \"x\" max_steps: 5 } }\n"},
      {"another kind replaces the stage", R"(stage { name: "a" execution { cpus: 2 } corpus { bundled: "x" } })",
       R"(stage { name: "a" filter { from: "y" } })",
       "stage { name: \"a\" execution { cpus: 2 } filter { from: \"y\" } }\n"},
      {"new stages come last", R"(stage { name: "a" })", R"(stage { name: "b" })",
       "stage { name: \"a\" }\nstage { name: \"b\" }\n"},
      {"a stage is removed", R"(stage { name: "a" } stage { name: "b" })", R"(remove: "a")", "stage { name: \"b\" }\n"},
      {"a field is removed, by a short path", R"(stage { name: "a" corpus { bundled: "x" licence: "MIT" } })",
       R"(remove: "a.licence")", "stage { name: \"a\" corpus { bundled: \"x\" } }\n"},
      {"a list is removed before the profile's own entries",
       R"(stage { name: "a" filter { rule { name: "p" } rule { name: "q" } } })",
       R"(stage { name: "a" filter { rule { name: "r" } } } remove: "a.rule")",
       "stage { name: \"a\" filter { rule { name: \"r\" } } }\n"},
      {"an entry of a list is removed by its key",
       R"(stage { name: "a" filter { rule { name: "p" } rule { name: "q" } } })", R"(remove: "a.rule.p")",
       "stage { name: \"a\" filter { rule { name: \"q\" } } }\n"},
      {"removing what is not set is nothing", R"(stage { name: "a" corpus { bundled: "x" } })",
       R"(remove: "a.licence")", "stage { name: \"a\" corpus { bundled: \"x\" } }\n"},
      {"seed and reproducibility", R"(seed: 1 reproducibility { level: STATISTICAL })",
       R"(seed: 2 reproducibility { leaf_sequences: 4 })",
       "seed: 2\nreproducibility { level: STATISTICAL leaf_sequences: 4 }\n"},
      {"false and 0 count as set", R"(stage { name: "a" pack { attend_across_documents: true } })",
       R"(stage { name: "a" pack { attend_across_documents: false } })",
       "stage { name: \"a\" pack { attend_across_documents: false } }\n"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Merged(std::string(c.base) + " profile { name: \"p\" " + c.profile + " }", "p"), c.merged) << c.rule;
  }
}

TEST(Merge, ExtendsComesFirstAndOnce) {
  const std::string text = R"(
    stage { name: "a" pack { sequence_length: 1 } }
    profile { name: "top" extends: "left" extends: "right" }
    profile { name: "left" extends: "bottom" stage { name: "a" pack { sequence_length: 3 } } }
    profile { name: "right" extends: "bottom" stage { name: "a" pack { from: "x" } } }
    profile { name: "bottom" stage { name: "a" pack { sequence_length: 2 shard_size: "1" } } })";
  EXPECT_EQ(Merged(text, "top"), "stage { name: \"a\" pack { from: \"x\" sequence_length: 3 shard_size: \"1\" } }\n");
}

TEST(Merge, TargetsAndExpectationsReplaceThoseOfTheExtendedProfile) {
  const std::string text = R"(
    profile { name: "a" target: "x" target: "y" expect { stage: "x" metric: "m" } }
    profile { name: "b" extends: "a" }
    profile { name: "c" extends: "a" target: "z" expect { stage: "z" metric: "n" } expect { stage: "y" metric: "o" } })";
  ProfileSettings settings;
  Merged(text, "b", {}, &settings);
  ASSERT_EQ(settings.targets.size(), 2);
  EXPECT_EQ(settings.targets[1].text, "y");
  EXPECT_EQ(settings.expectations.size(), 1);
  Merged(text, "c", {}, &settings);
  ASSERT_EQ(settings.targets.size(), 1);
  EXPECT_EQ(settings.targets[0].text, "z");
  EXPECT_EQ(settings.expectations.size(), 2);
}

constexpr char kTrain[] = R"(
  seed: 1
  stage { name: "docs" corpus { bundled: "x" } }
  stage { name: "good" filter { from: "docs" rule { name: "size" bytes { min: 1 } } rule { name: "p" drop_matching: "x" } } }
  stage {
    name: "pretrain"
    train {
      data: "good"
      max_tokens: "2T"
      optimizer { adamw { learning_rate: 1 } }
      schedule { cosine { min_factor: 0.1 } }
      validation { data: "docs" every_steps: 5 }
    }
  })";

struct SetCase {
  const char* set;
  const char* expected;  // a line of the merged text, or of the error
};

TEST(Set, FindsTheField) {
  const SetCase cases[] = {
      {"pretrain.train.max_tokens=50k", "max_tokens: \"50k\""},
      {"pretrain.max_tokens=50k", "max_tokens: \"50k\""},
      {"pretrain.train.optimizer.adamw.learning_rate=3e-3", "learning_rate: 0.003"},
      {"pretrain.learning_rate=3e-3", "learning_rate: 0.003"},
      {"learning_rate=3e-3", "learning_rate: 0.003"},
      {"pretrain.data=docs", "data: \"docs\""},  // its own, not validation's
      {"pretrain.validation.data=good", "validation { data: \"good\" every_steps: 5 }"},
      {"pretrain.max_steps=7", "max_steps: 7"},
      {"pretrain.min_factor=0.2", "cosine { min_factor: 0.2 }"},  // of the shape that is set
      {"pretrain.wsd.min_factor=0.2", "schedule { wsd { min_factor: 0.2 } }"},
      {"pretrain.schedule.constant={}", "schedule { constant {} }"},
      {"pretrain.precision=FP32", "precision: FP32"},
      {"pretrain.zero_stage=3", "parallel { zero_stage: 3 }"},
      {"pretrain.cpus=3", "execution { cpus: 3 }"},
      {"seed=9", "seed: 9"},
      {"leaf_sequences=2", "reproducibility { leaf_sequences: 2 }"},
      {"good.rule.size.bytes.min=3", "rule { name: \"size\" bytes { min: 3 } }"},
      {"good.size.min=3", "rule { name: \"size\" bytes { min: 3 } }"},
      {"good.from=[\"a\", \"b\"]", "from: \"a\""},
      {"docs.description=a = b", "description: \"a = b\""},
  };
  for (const SetCase& c : cases) {
    EXPECT_THAT(Merged(kTrain, "", {c.set}), HasSubstr(c.expected)) << c.set;
  }
  // Two fields of one name, in train and in validation.
  EXPECT_EQ(Merged(kTrain, "", {"pretrain.train.validation.max_tokens=1k"}).find("error"), std::string::npos);
  EXPECT_THAT(Merged(kTrain, "", {"max_tokens=50k"}), HasSubstr("can mean 2 fields"));
}

TEST(Set, LaterOnesWin) {
  EXPECT_THAT(Merged(kTrain, "", {"pretrain.max_steps=7", "pretrain.max_tokens=9"}), HasSubstr("max_tokens: \"9\""));
}

TEST(Set, ValuesAreTypedAndChecked) {
  const SetCase cases[] = {
      {"pretrain.learning_rate=fast", "`learning_rate` takes a number, not `fast`"},
      {"pretrain.max_tokens=50q", "\"50q\" is not a count"},
      {"pretrain.zero_stage=4", "zero_stage 4 is too high"},
      {"pretrain.lerning_rate=1", "fix: pretrain.optimizer.adamw.learning_rate"},
      {"pretran.learning_rate=1", "no stage is named \"pretran\""},
      {"pretrain", "sets nothing"},
      {"pretrain.name=x", "has no field \"name\""},
  };
  for (const SetCase& c : cases) EXPECT_THAT(Merged(kTrain, "", {c.set}), HasSubstr(c.expected)) << c.set;
}

}  // namespace
}  // namespace millrace
