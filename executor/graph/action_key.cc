// A record is filled by one walk over the stage; its components are hashed in the order they were added:
//
//   number path   what                                    canonical value
//   k             kind, by its field number in Stage      i
//   v             semantics version of the kind           i
//   x             "chain": the shared part of a chain     s
//   n, s          numerics class; seed; where used        e, u
//   r.N           field N of Reproducibility              i, e
//   t             digest of the tool                      s
//   p.N...        parameters: field numbers, and indices  i u d b e s, m
//                 after those of repeated fields
//   i.N...        digest of the input named by that field s
//   o.I           name and artifact of output I           s
//
// Letters: i int64, u uint64, d bits of a double, all little-endian in 8 bytes; e an enum's number, as i; b one byte; s
// the bytes of a string; m nothing: a message that is set and in which no field is.
#include "executor/graph/action_key.h"

#include <bit>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "executor/graph/schema_facts.h"
#include "executor/graph/unit.h"

namespace millrace {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr absl::string_view kKeyDomain = "millrace.key.v1";

// Versions of what a kind's parameters mean. A change of meaning under the same name gets the next number.
struct SemanticsVersion {
  const char* kind;
  int version;
};
constexpr SemanticsVersion kSemanticsVersions[] = {
    {"corpus", 1},   {"filter", 1}, {"dedup", 1}, {"split", 1}, {"tokenizer", 1}, {"train_tokenizer", 1},
    {"tokenize", 1}, {"pack", 1},   {"mix", 1},   {"train", 1}, {"evaluate", 1},  {"custom", 1},
};

// A canonical value: its letter, and the bytes behind it.
struct Canonical {
  char letter = 's';
  absl::string_view bytes;
};
Canonical StringBytes(absl::string_view text) { return {'s', text}; }

// A letter and eight bytes.
class Bytes8 {
 public:
  Bytes8(char letter, uint64_t value) : letter_(letter) {
    static_assert(std::endian::native == std::endian::little);
    std::memcpy(bytes_, &value, sizeof(bytes_));
  }
  operator Canonical() const { return {letter_, {bytes_, sizeof(bytes_)}}; }
  std::string ToString() const { return absl::StrCat(absl::string_view(&letter_, 1), absl::string_view(bytes_, 8)); }

 private:
  char letter_;
  char bytes_[8];
};

// Where components go: into a record for people, or straight into the bytes that are hashed, without their texts.
class RecordSink {
 public:
  static constexpr bool kHasTexts = true;
  explicit RecordSink(KeyRecord& record) : record_(record) {}
  void Add(absl::string_view path, absl::string_view number_path, absl::string_view value, const Canonical& canonical,
           bool counts) {
    KeyComponent& component = *record_.add_component();
    component.set_path(path.data(), path.size());
    component.set_number_path(number_path.data(), number_path.size());
    component.set_value(value.data(), value.size());
    if (counts) component.set_canonical(absl::StrCat(absl::string_view(&canonical.letter, 1), canonical.bytes));
  }

 private:
  KeyRecord& record_;
};

class HashSink {
 public:
  static constexpr bool kHasTexts = false;
  explicit HashSink(absl::string_view domain) : bytes_(domain) { bytes_.reserve(1000); }
  void Add(absl::string_view path, absl::string_view number_path, absl::string_view value, const Canonical& canonical,
           bool counts) {
    if (!counts) return;
    AppendLength(number_path.size());
    bytes_.append(number_path.data(), number_path.size());
    AppendLength(canonical.bytes.size() + 1);
    bytes_ += canonical.letter;
    bytes_.append(canonical.bytes.data(), canonical.bytes.size());
  }
  Sha256Bytes Finish() const { return Sha256Of(bytes_); }

 private:
  void AppendLength(size_t size) {
    static_assert(std::endian::native == std::endian::little);
    const auto length = static_cast<uint32_t>(size);
    bytes_.append(reinterpret_cast<const char*>(&length), sizeof(length));
  }

  std::string bytes_;
};

template <typename Sink>
class RecordBuilder {
 public:
  RecordBuilder(const ResolvedPipeline& pipeline, Sink& sink)
      : statistical_(pipeline.reproducibility.level() == Reproducibility::STATISTICAL), sink_(sink) {}

  // Leaves parameters out whose number path is one of these, with all below them.
  void LeaveOut(std::vector<std::string> number_paths) { left_out_ = std::move(number_paths); }

  // A ROUNDING component that does not count is recorded without its canonical value.
  void Add(absl::string_view path, absl::string_view number_path, absl::string_view value, const Canonical& canonical,
           Effect effect) {
    const bool counts = effect != ROUNDING || !statistical_;
    sink_.Add(path, number_path, value, canonical, counts);
    hashed_ += counts;
  }

  // What is for people alone is not made where nobody will see it.
  template <typename... Parts>
  static std::string Text(const Parts&... parts) {
    if constexpr (!Sink::kHasTexts) return {};
    return absl::StrCat(parts...);
  }

  void AddParameters(const Message& message) {
    path_.clear();
    numbers_ = "p";
    AddMessage(message, FactsOf(message.GetDescriptor()));
  }

 private:
  void AddMessage(const Message& message, const MessageFacts& facts) {
    const Reflection& reflection = *message.GetReflection();
    for (const int index : facts.by_number) {
      const FieldFacts& field = facts.fields[index];
      if (field.is_message() ? !field.message->can_change_result : field.effect.value_or(RESULT) == NONE) continue;
      const int count = field.repeated ? reflection.FieldSize(message, field.descriptor)
                                       : reflection.HasField(message, field.descriptor);
      if (count == 0) continue;
      const size_t path_size = path_.size(), numbers_size = numbers_.size();
      if constexpr (Sink::kHasTexts) absl::StrAppend(&path_, path_.empty() ? "" : ".", field.name);
      absl::StrAppend(&numbers_, ".", field.number);
      if (!IsLeftOut()) {
        if (!field.repeated) {
          AddValue(message, reflection, field, -1);
        } else {
          const size_t field_path_size = path_.size(), field_numbers_size = numbers_.size();
          for (int i = 0; i < count; ++i) {
            if constexpr (Sink::kHasTexts) absl::StrAppend(&path_, ".", i);
            absl::StrAppend(&numbers_, ".", i);
            AddValue(message, reflection, field, i);
            path_.resize(field_path_size);
            numbers_.resize(field_numbers_size);
          }
        }
      }
      path_.resize(path_size);
      numbers_.resize(numbers_size);
    }
  }

  bool IsLeftOut() const {
    for (const std::string& left_out : left_out_) {
      if (numbers_ == left_out) return true;
    }
    return false;
  }

  // `index` -1: not repeated.
  void AddValue(const Message& message, const Reflection& reflection, const FieldFacts& field, int index) {
    const FieldDescriptor* descriptor = field.descriptor;
#define MILLRACE_GET(Type) \
  (index < 0 ? reflection.Get##Type(message, descriptor) : reflection.GetRepeated##Type(message, descriptor, index))
    const auto add = [&](absl::string_view value, const Canonical& canonical) {
      Add(path_, numbers_, value, canonical, field.effect.value_or(RESULT));
    };
    switch (field.type) {
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_INT64: {
        const int64_t number = field.type == FieldDescriptor::CPPTYPE_INT32 ? MILLRACE_GET(Int32) : MILLRACE_GET(Int64);
        add(Text(number), Bytes8('i', static_cast<uint64_t>(number)));
        break;
      }
      case FieldDescriptor::CPPTYPE_UINT32:
      case FieldDescriptor::CPPTYPE_UINT64: {
        const uint64_t number =
            field.type == FieldDescriptor::CPPTYPE_UINT32 ? MILLRACE_GET(UInt32) : MILLRACE_GET(UInt64);
        add(Text(number), Bytes8('u', number));
        break;
      }
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        const double number = field.type == FieldDescriptor::CPPTYPE_FLOAT ? MILLRACE_GET(Float) : MILLRACE_GET(Double);
        add(Sink::kHasTexts ? ExactText(number) : "", Bytes8('d', std::bit_cast<uint64_t>(number)));
        break;
      }
      case FieldDescriptor::CPPTYPE_BOOL: {
        const bool is_true = MILLRACE_GET(Bool);
        add(is_true ? "true" : "false", {'b', is_true ? absl::string_view("\1", 1) : absl::string_view("\0", 1)});
        break;
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        const auto* number = MILLRACE_GET(Enum);
        add(number->name(), Bytes8('e', static_cast<uint64_t>(int64_t{number->number()})));
        break;
      }
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string scratch;
        const std::string& text = index < 0
                                      ? reflection.GetStringReference(message, descriptor, &scratch)
                                      : reflection.GetRepeatedStringReference(message, descriptor, index, &scratch);
        add(text, StringBytes(text));
        break;
      }
      case FieldDescriptor::CPPTYPE_MESSAGE: {
        const int before = hashed_;
        AddMessage(MILLRACE_GET(Message), *field.message);
        if (hashed_ == before) Add(path_, numbers_, "{}", {'m', ""}, RESULT);
        break;
      }
    }
#undef MILLRACE_GET
  }

  const bool statistical_;
  Sink& sink_;
  std::vector<std::string> left_out_;
  int hashed_ = 0;  // components with a canonical value
  std::string path_, numbers_;
};

// What a stage is, but for its tool and inputs.
template <typename Sink>
void AddOwn(const ResolvedPipeline& pipeline, const ResolvedStage& stage, RecordBuilder<Sink>& builder) {
  const FieldFacts& kind = FactsOf(Stage::descriptor()).Get(stage.kind);
  builder.Add("kind", "k", stage.kind, Bytes8('i', static_cast<uint64_t>(kind.number)), RESULT);
  const int version = SemanticsVersionOf(stage.kind);
  builder.Add("semantics_version", "v", builder.Text(version), Bytes8('i', static_cast<uint64_t>(version)), RESULT);
  if (stage.uses_floating_point)
    builder.Add("numerics", "n", Numerics_Name(pipeline.numerics),
                Bytes8('e', static_cast<uint64_t>(int64_t{pipeline.numerics})), ROUNDING);
  if (stage.uses_seed) builder.Add("seed", "s", builder.Text(pipeline.seed), Bytes8('u', pipeline.seed), RESULT);
  if (!stage.uses_floating_point) return;
  const Reproducibility& reproducibility = pipeline.reproducibility;
  const Reproducibility& defaults = Reproducibility::default_instance();
  if (reproducibility.leaf_sequences() != defaults.leaf_sequences()) {
    builder.Add("reproducibility.leaf_sequences", "r.2", absl::StrCat(reproducibility.leaf_sequences()),
                Bytes8('i', static_cast<uint64_t>(int64_t{reproducibility.leaf_sequences()})), ROUNDING);
  }
  if (reproducibility.gradient_sum() != defaults.gradient_sum()) {
    builder.Add("reproducibility.gradient_sum", "r.4",
                Reproducibility::GradientSum_Name(reproducibility.gradient_sum()),
                Bytes8('e', static_cast<uint64_t>(int64_t{reproducibility.gradient_sum()})), ROUNDING);
  }
}

template <typename Sink>
void AddOutputs(const ResolvedStage& stage, RecordBuilder<Sink>& builder) {
  for (size_t i = 0; i < stage.outputs.size(); ++i) {
    const OutputSpec& output = stage.outputs[i];
    builder.Add(builder.Text("output.", i), absl::StrCat("o.", i),
                builder.Text(output.name, " ", Artifact_Name(output.artifact)),
                StringBytes(absl::StrCat(static_cast<int>(output.artifact), " ", output.name)), RESULT);
  }
}

template <typename Input>
std::string InputNumbers(const Input& input) {
  return absl::StrCat("i.", input.number_path.empty() ? input.name : input.number_path);
}

template <typename Sink>
absl::Status AddInput(const ResolvedStage& stage, const std::string& name, const std::string& number_path,
                      const KeyInputs& inputs, RecordBuilder<Sink>& builder) {
  const auto found = inputs.input_digest.find(name);
  if (found == inputs.input_digest.end()) {
    return absl::InternalError(
        absl::StrCat("stage \"", stage.name, "\": a key was asked for without the digest of input \"", name, "\""));
  }
  builder.Add(builder.Text("input.", name), number_path, found->second, StringBytes(found->second), RESULT);
  return absl::OkStatus();
}

template <typename Sink>
absl::Status Fill(const ResolvedPipeline& pipeline, const ResolvedStage& stage, const KeyInputs& inputs, bool chain,
                  Sink& sink) {
  RecordBuilder<Sink> builder(pipeline, sink);
  AddOwn(pipeline, stage, builder);
  if (chain) {
    builder.Add("chain", "x", "segments", StringBytes("chain"), RESULT);
    // max_tokens, max_steps, schedule, optimizer.adamw.learning_rate
    builder.LeaveOut({"p.8", "p.9", "p.12", "p.11.1.1"});
  }
  if (!inputs.tool_digest.empty()) {
    builder.Add("tool", "t", inputs.tool_digest, StringBytes(inputs.tool_digest), RESULT);
  } else if (stage.command.empty()) {
    return absl::InternalError(absl::StrCat("stage \"", stage.name,
                                            "\": a key was asked for without the digest of tool \"", stage.tool, "\""));
  }
  builder.AddParameters(*stage.parameters);
  for (const StageEdge& edge : stage.edges) {
    if (!edge.in_key || (chain && edge.name == "data")) continue;
    RETURN_IF_ERROR(AddInput(stage, edge.name, InputNumbers(edge), inputs, builder));
  }
  for (const ExternalInput& input : stage.external_inputs) {
    RETURN_IF_ERROR(AddInput(stage, input.name, InputNumbers(input), inputs, builder));
  }
  AddOutputs(stage, builder);
  return absl::OkStatus();
}

absl::StatusOr<KeyRecord> MakeRecord(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                     const KeyInputs& inputs, bool chain) {
  KeyRecord record;
  RecordSink sink(record);
  RETURN_IF_ERROR(Fill(pipeline, stage, inputs, chain, sink));
  return record;
}

class Recipes {
 public:
  explicit Recipes(const ResolvedPipeline& pipeline)
      : pipeline_(pipeline), done_(pipeline.stages.size()), recipes_(pipeline.stages.size()) {}

  // Stages that it needs come before it.
  const Sha256Bytes& Of(int index) {
    std::vector<int> open{index};
    while (!open.empty()) {
      const int at = open.back();
      bool ready = true;
      for (const StageEdge& edge : pipeline_.stages[at].edges) {
        if (!edge.in_key || done_[edge.producer]) continue;
        open.push_back(edge.producer);
        ready = false;
      }
      if (!ready) continue;
      open.pop_back();
      if (!done_[at]) recipes_[at] = Compute(pipeline_.stages[at]);
      done_[at] = true;
    }
    return recipes_[index];
  }

 private:
  Sha256Bytes Compute(const ResolvedStage& stage) {
    HashSink sink("millrace.recipe.v1");
    RecordBuilder<HashSink> builder(pipeline_, sink);
    AddOwn(pipeline_, stage, builder);
    if (stage.command.empty()) builder.Add("tool", "t", stage.tool, StringBytes(stage.tool), RESULT);
    builder.AddParameters(*stage.parameters);
    for (const StageEdge& edge : stage.edges) {
      if (!edge.in_key) continue;
      const std::string value = absl::StrCat(HexOf(recipes_[edge.producer]), ".", edge.output);
      builder.Add(builder.Text("input.", edge.name), InputNumbers(edge), value, StringBytes(value), RESULT);
    }
    for (const ExternalInput& input : stage.external_inputs) {
      builder.Add(builder.Text("input.", input.name), InputNumbers(input), input.described,
                  StringBytes(input.described), RESULT);
    }
    AddOutputs(stage, builder);
    return sink.Finish();
  }

  const ResolvedPipeline& pipeline_;
  std::vector<bool> done_;
  std::vector<Sha256Bytes> recipes_;
};

void AddRequestInput(const std::string& name, Artifact artifact, StageRequest& request) {
  StageInput& input = *request.add_input();
  input.set_name(name);
  input.set_path(absl::StrCat("in/", name));
  input.set_artifact(Artifact_Name(artifact));
}

}  // namespace

int SemanticsVersionOf(absl::string_view kind) {
  for (const SemanticsVersion& entry : kSemanticsVersions) {
    if (kind == entry.kind) return entry.version;
  }
  MILLRACE_CHECK(false && "every kind has a semantics version");
  return 0;
}

absl::StatusOr<KeyRecord> MakeKeyRecord(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                        const KeyInputs& inputs) {
  return MakeRecord(pipeline, stage, inputs, /*chain=*/false);
}

Sha256Bytes KeyOf(const KeyRecord& record) {
  HashSink sink(kKeyDomain);
  for (const KeyComponent& component : record.component()) {
    const absl::string_view canonical = component.canonical();
    if (canonical.empty()) continue;
    sink.Add(component.path(), component.number_path(), component.value(), {canonical[0], canonical.substr(1)}, true);
  }
  return sink.Finish();
}

absl::StatusOr<Sha256Bytes> MakeKey(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                    const KeyInputs& inputs) {
  HashSink sink(kKeyDomain);
  RETURN_IF_ERROR(Fill(pipeline, stage, inputs, /*chain=*/false, sink));
  return sink.Finish();
}

absl::StatusOr<KeyRecord> MakeChainKeyRecord(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                             const KeyInputs& inputs) {
  return MakeRecord(pipeline, stage, inputs, /*chain=*/true);
}

Sha256Bytes StepsDigest(const ResolvedStage& stage, int64_t first, int64_t last) {
  MILLRACE_CHECK(stage.train_steps.has_value());
  const std::vector<double>& rates = stage.train_steps->learning_rate;
  MILLRACE_CHECK(0 <= first && first <= last && last <= static_cast<int64_t>(rates.size()));
  Sha256 hash;
  hash.Update("millrace.steps.v1");
  hash.Update(Bytes8('i', static_cast<uint64_t>(first)).ToString());
  hash.Update(Bytes8('i', static_cast<uint64_t>(last)).ToString());
  static_assert(std::endian::native == std::endian::little);
  hash.Update(absl::string_view(reinterpret_cast<const char*>(rates.data() + first),
                                static_cast<size_t>(last - first) * sizeof(double)));
  return hash.Finish();
}

Sha256Bytes RecipeOf(const ResolvedPipeline& pipeline, int stage_index) { return Recipes(pipeline).Of(stage_index); }

StageRequest MakeRequest(const ResolvedPipeline& pipeline, const ResolvedStage& stage) {
  StageRequest request;
  request.set_kind(stage.kind);
  request.mutable_parameters()->PackFrom(*stage.parameters);
  for (const StageEdge& edge : stage.edges) AddRequestInput(edge.name, edge.artifact, request);
  for (const ExternalInput& input : stage.external_inputs) AddRequestInput(input.name, input.artifact, request);
  for (const OutputSpec& spec : stage.outputs) {
    StageOutput& output = *request.add_output();
    output.set_name(spec.name);
    output.set_path(absl::StrCat("out/", spec.name));
    output.set_artifact(Artifact_Name(spec.artifact));
  }
  if (stage.uses_seed) request.set_seed(pipeline.seed);
  if (stage.uses_floating_point) {
    // `level` says what a key has, and is none of the program's business.
    request.mutable_reproducibility()->set_leaf_sequences(pipeline.reproducibility.leaf_sequences());
    request.mutable_reproducibility()->set_gradient_sum(pipeline.reproducibility.gradient_sum());
  }
  return request;
}

std::vector<KeyDifference> CompareKeyRecords(const KeyRecord& before, const KeyRecord& after) {
  absl::flat_hash_map<absl::string_view, const KeyComponent*> old;
  for (const KeyComponent& component : before.component()) {
    if (component.has_canonical()) old.emplace(component.number_path(), &component);
  }
  std::vector<KeyDifference> differences;
  for (const KeyComponent& component : after.component()) {
    if (!component.has_canonical()) continue;
    const auto found = old.find(component.number_path());
    if (found == old.end()) {
      differences.push_back({component.path(), "", component.value()});
      continue;
    }
    if (found->second->canonical() != component.canonical())
      differences.push_back({component.path(), found->second->value(), component.value()});
    old.erase(found);
  }
  for (const KeyComponent& component : before.component()) {
    const auto found = old.find(component.number_path());
    if (found != old.end() && found->second == &component)
      differences.push_back({component.path(), component.value(), ""});
  }
  return differences;
}

}  // namespace millrace
