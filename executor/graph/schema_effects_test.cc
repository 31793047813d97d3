// Walks every field of the vocabulary: each leaf says what it can change, and the key does what it says.
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "executor/graph/action_key.h"
#include "executor/graph/schema_facts.h"
#include "google/protobuf/dynamic_message.h"
#include "gtest/gtest.h"
#include "pipelines/schema/cluster.pb.h"
#include "pipelines/schema/pipeline.pb.h"

namespace millrace {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Calls `visit` for each message below `type`, once.
void VisitMessages(const MessageFacts& type, std::set<const MessageFacts*>& seen,
                   const std::function<void(const MessageFacts&)>& visit) {
  if (!seen.insert(&type).second) return;
  visit(type);
  for (const FieldFacts& field : type.fields) {
    if (field.is_message()) VisitMessages(*field.message, seen, visit);
  }
}

TEST(SchemaEffects, EachLeafSaysWhatItCanChange) {
  std::set<const MessageFacts*> seen;
  int leaves = 0;
  const auto check = [&](const MessageFacts& type) {
    for (const FieldFacts& field : type.fields) {
      if (field.is_message()) {
        EXPECT_FALSE(field.effect.has_value()) << type.name << "." << field.name << ": there is no inheritance";
      } else {
        EXPECT_TRUE(field.effect.has_value()) << type.name << "." << field.name << " has no (effect)";
        ++leaves;
      }
    }
  };
  VisitMessages(FactsOf(Pipeline::descriptor()), seen, check);
  VisitMessages(FactsOf(ClusterFile::descriptor()), seen, check);
  EXPECT_GT(leaves, 150);
}

// Of a cluster, `numerics` alone can change a bit.
TEST(SchemaEffects, AClusterChangesNothingButNumerics) {
  std::set<const MessageFacts*> seen;
  VisitMessages(FactsOf(ClusterFile::descriptor()), seen, [](const MessageFacts& type) {
    for (const FieldFacts& field : type.fields) {
      if (field.is_message()) continue;
      EXPECT_EQ(field.effect.value_or(RESULT), field.name == "numerics" ? ROUNDING : NONE) << type.name << field.name;
    }
  });
}

// A value of the field's type that is not its default.
void SetSomething(Message& message, const FieldDescriptor* field) {
  const auto& reflection = *message.GetReflection();
  const bool add = field->is_repeated();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      const int32_t x = field->default_value_int32() + 3;
      add ? reflection.AddInt32(&message, field, x) : reflection.SetInt32(&message, field, x);
      break;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      const int64_t x = field->default_value_int64() + 3;
      add ? reflection.AddInt64(&message, field, x) : reflection.SetInt64(&message, field, x);
      break;
    }
    case FieldDescriptor::CPPTYPE_UINT64:
      reflection.SetUInt64(&message, field, field->default_value_uint64() + 3);
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      const double x = field->default_value_double() + 0.125;
      add ? reflection.AddDouble(&message, field, x) : reflection.SetDouble(&message, field, x);
      break;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      reflection.SetBool(&message, field, !field->default_value_bool());
      break;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* type = field->enum_type();
      const auto* x = type->value(field->has_default_value() && field->default_value_enum() == type->value(0) ? 1 : 0);
      add ? reflection.AddEnum(&message, field, x) : reflection.SetEnum(&message, field, x);
      break;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      add ? reflection.AddString(&message, field, "7") : reflection.SetString(&message, field, "7");
      break;
    default:
      FAIL() << field->full_name() << ": a type that the vocabulary does not have";
  }
}

struct Keyed {
  std::string key;
  int components = 0;
  std::string recorded;  // all components, counted or not
};

Keyed KeyWith(const FieldFacts& kind, std::shared_ptr<const Message> parameters, Reproducibility::Level level) {
  ResolvedPipeline pipeline;
  pipeline.reproducibility.set_level(level);
  ResolvedStage stage;
  stage.name = "x";
  stage.kind = kind.name;
  stage.parameters = std::move(parameters);
  KeyInputs inputs;
  inputs.tool_digest = "sha256:tool";
  const auto record = MakeKeyRecord(pipeline, stage, inputs);
  EXPECT_TRUE(record.ok());
  Keyed keyed{HexOf(KeyOf(*record)), record->component_size(), ""};
  for (const KeyComponent& component : record->component())
    absl::StrAppend(&keyed.recorded, component.number_path(), "=", component.value(), "\n");
  return keyed;
}

// For each leaf below `at` (a message within `root`), compares the keys without it and with it.
void CheckLeaves(const FieldFacts& kind, const MessageFacts& type, const std::vector<const FieldFacts*>& way,
                 int& leaves) {
  const auto build = [&](const FieldFacts* leaf) {
    std::shared_ptr<Message> root(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(kind.message->descriptor)->New());
    Message* at = root.get();
    for (const FieldFacts* step : way) {
      at = step->repeated ? at->GetReflection()->AddMessage(at, step->descriptor)
                          : at->GetReflection()->MutableMessage(at, step->descriptor);
    }
    if (leaf != nullptr) SetSomething(*at, leaf->descriptor);
    return root;
  };
  for (const FieldFacts& field : type.fields) {
    if (field.is_message()) {
      std::vector<const FieldFacts*> deeper = way;
      deeper.push_back(&field);
      CheckLeaves(kind, *field.message, deeper, leaves);
      continue;
    }
    ++leaves;
    const std::string name = absl::StrCat(kind.name, ": ", type.name, ".", field.name);
    const Keyed without = KeyWith(kind, build(nullptr), Reproducibility::BITWISE);
    const Keyed with = KeyWith(kind, build(&field), Reproducibility::BITWISE);
    const Keyed loose_without = KeyWith(kind, build(nullptr), Reproducibility::STATISTICAL);
    const Keyed loose_with = KeyWith(kind, build(&field), Reproducibility::STATISTICAL);
    switch (*field.effect) {
      case RESULT:
        EXPECT_NE(without.key, with.key) << name;
        EXPECT_NE(loose_without.key, loose_with.key) << name;
        break;
      case ROUNDING:
        EXPECT_NE(without.key, with.key) << name;
        EXPECT_EQ(loose_without.key, loose_with.key) << name;
        EXPECT_NE(loose_without.recorded, loose_with.recorded) << name << " is recorded either way";
        break;
      case NONE:
        EXPECT_EQ(without.key, with.key) << name;
        EXPECT_EQ(without.recorded, with.recorded) << name;
        break;
    }
  }
}

TEST(SchemaEffects, TheKeyDoesWhatEachFieldSays) {
  int leaves = 0;
  for (const FieldFacts& kind : FactsOf(Stage::descriptor()).fields) {
    if (kind.oneof >= 0) CheckLeaves(kind, *kind.message, {}, leaves);
  }
  EXPECT_GT(leaves, 100);
}

TEST(SchemaEffects, EveryKindHasASemanticsVersion) {
  for (const FieldFacts& kind : FactsOf(Stage::descriptor()).fields) {
    if (kind.oneof >= 0) {
      EXPECT_GE(SemanticsVersionOf(kind.name), 1) << kind.name;
    }
  }
}

// A stage is run by nothing that is in its key: `execution` is no part of the parameters, and all NONE.
TEST(SchemaEffects, ExecutionChangesNothing) {
  for (const FieldFacts& field : FactsOf(Execution::descriptor()).fields) EXPECT_EQ(*field.effect, NONE) << field.name;
}

// Options that contradict each other.
TEST(SchemaEffects, OptionsFit) {
  std::set<const MessageFacts*> seen;
  VisitMessages(FactsOf(Pipeline::descriptor()), seen, [](const MessageFacts& type) {
    for (const FieldFacts& field : type.fields) {
      const std::string name = absl::StrCat(type.name, ".", field.name);
      if (!field.accepts.empty() || !field.source_of.empty() || field.merge_key) {
        EXPECT_EQ(field.type, FieldDescriptor::CPPTYPE_STRING) << name;
      }
      if (field.unit.has_value()) {
        EXPECT_EQ(field.type,
                  *field.unit == FRACTION ? FieldDescriptor::CPPTYPE_DOUBLE : FieldDescriptor::CPPTYPE_STRING)
            << name;
      }
      if (!field.source_of.empty()) {
        const FieldFacts* of = type.Find(field.source_of);
        ASSERT_NE(of, nullptr) << name;
        EXPECT_FALSE(of->accepts.empty()) << name;
      }
    }
  });
}

}  // namespace
}  // namespace millrace
