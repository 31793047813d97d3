#include "executor/graph/parse.h"

#include <cmath>
#include <random>
#include <string>

#include "absl/strings/match.h"
#include "base/file.h"
#include "executor/graph/lexer.h"
#include "gmock/gmock.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "pipelines/schema/pipeline.pb.h"

namespace millrace {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;
using google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;

struct Parsed {
  Pipeline message;
  std::string text;  // of the tree, written again
  Diagnostics diagnostics;
};

Parsed Parse(absl::string_view text) {
  Parsed parsed;
  Sources sources;
  const ParseResult result =
      ParseText(text, FactsOf(Pipeline::descriptor()), sources, sources.Add("f"), parsed.diagnostics);
  ToMessage(*result.root, parsed.message);
  parsed.text = ToText(*result.root);
  return parsed;
}

// Errors are thrown away: what is compared is whether there are any.
class Silent : public google::protobuf::io::ErrorCollector {
  void AddError(int, google::protobuf::io::ColumnNumber, const std::string&) override {}
};

bool ProtobufParses(const std::string& text, Pipeline& message) {
  TextFormat::Parser parser;
  Silent silent;
  parser.RecordErrorsTo(&silent);
  return parser.ParseFromString(text, &message);
}

std::string RandomString(std::mt19937& random) {
  static const char* const kPieces[] = {"a",  "Z", "0",  " ",    "\n", "\t", "\"",  "'",
                                        "\\", "é", "深", "\x01", "#",  "{",  "🙂"};
  std::string text;
  for (int n = random() % 6; n > 0; --n) text += kPieces[random() % (sizeof(kPieces) / sizeof(kPieces[0]))];
  return text;
}

// Sets about half of the fields to anything that their types hold.
void Randomize(Message& message, int depth, std::mt19937& random) {
  const auto& reflection = *message.GetReflection();
  const auto* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    for (int n = field->is_repeated() ? random() % 3 : random() % 2; n > 0; --n) {
      const bool add = field->is_repeated();
      switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_INT32: {
          const int32_t x = static_cast<int32_t>(random());
          add ? reflection.AddInt32(&message, field, x) : reflection.SetInt32(&message, field, x);
          break;
        }
        case FieldDescriptor::CPPTYPE_INT64: {
          const int64_t x = static_cast<int64_t>(uint64_t{random()} << 32 | random());
          add ? reflection.AddInt64(&message, field, x) : reflection.SetInt64(&message, field, x);
          break;
        }
        case FieldDescriptor::CPPTYPE_UINT64: {
          const uint64_t x = uint64_t{random()} << 32 | random();
          add ? reflection.AddUInt64(&message, field, x) : reflection.SetUInt64(&message, field, x);
          break;
        }
        case FieldDescriptor::CPPTYPE_DOUBLE: {
          const double x = std::ldexp(static_cast<double>(random()) - 2e9, static_cast<int>(random() % 200) - 100);
          add ? reflection.AddDouble(&message, field, x) : reflection.SetDouble(&message, field, x);
          break;
        }
        case FieldDescriptor::CPPTYPE_BOOL:
          add ? reflection.AddBool(&message, field, random() % 2) : reflection.SetBool(&message, field, random() % 2);
          break;
        case FieldDescriptor::CPPTYPE_ENUM: {
          const auto* x = field->enum_type()->value(static_cast<int>(random() % field->enum_type()->value_count()));
          add ? reflection.AddEnum(&message, field, x) : reflection.SetEnum(&message, field, x);
          break;
        }
        case FieldDescriptor::CPPTYPE_STRING:
          add ? reflection.AddString(&message, field, RandomString(random))
              : reflection.SetString(&message, field, RandomString(random));
          break;
        case FieldDescriptor::CPPTYPE_MESSAGE:
          if (depth == 0) break;
          Randomize(add ? *reflection.AddMessage(&message, field) : *reflection.MutableMessage(&message, field),
                    depth - 1, random);
          break;
        default:
          FAIL() << "a field of a type that the vocabulary does not have: " << field->full_name();
      }
    }
  }
}

TEST(Parse, ReadsWhatProtobufWrites) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Pipeline message;
    Randomize(message, 5, random);
    TextFormat::Printer printer;
    printer.SetSingleLineMode(round % 2 == 0);
    printer.SetUseShortRepeatedPrimitives(round % 3 == 0);
    printer.SetUseUtf8StringEscaping(round % 5 < 2);
    std::string text;
    ASSERT_TRUE(printer.PrintToString(message, &text));
    Parsed parsed = Parse(text);
    ASSERT_FALSE(parsed.diagnostics.has_errors()) << parsed.diagnostics.ToString() << text;
    ASSERT_TRUE(MessageDifferencer::Equals(parsed.message, message)) << "round " << round << "\n" << text;
    // Both read what the tree writes.
    Pipeline again;
    ASSERT_TRUE(ProtobufParses(parsed.text, again)) << parsed.text;
    ASSERT_TRUE(MessageDifferencer::Equals(again, message)) << "round " << round << "\n" << parsed.text;
    ASSERT_TRUE(MessageDifferencer::Equals(Parse(parsed.text).message, message)) << parsed.text;
  }
}

// On damaged text both agree whether it is good, and on what it says.
TEST(Parse, AgreesWithProtobufOnDamagedText) {
  const auto original = ReadFile("executor/graph/testdata/keys/every_kind.textproto");
  ASSERT_TRUE(original.ok());
  static const char* const kPieces[] = {"{",  "}", "[",  "]",    "<",   ">",   ":",    ",",    ";",
                                        "\"", "'", "-",  "0",    "1.5", "1e3", "name", "true", "\n",
                                        " ",  "#", "\\", "0x1F", "09",  "inf", "4f",   "2_0",  "é"};
  std::mt19937 random(11);
  int good = 0, bad = 0, failures = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text = original->substr(0, 1500);
    text.resize(text.rfind("\nstage"));
    for (int edits = 1 + static_cast<int>(random() % 2); edits > 0; --edits) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text.erase(at, 1 + random() % 4);
          break;
        case 1:
          text.insert(at, kPieces[random() % (sizeof(kPieces) / sizeof(kPieces[0]))]);
          break;
        default:
          text.replace(at, 1, kPieces[random() % (sizeof(kPieces) / sizeof(kPieces[0]))]);
      }
    }
    Pipeline expected;
    const bool parses = ProtobufParses(text, expected);
    Parsed parsed = Parse(text);
    // The one thing that is refused here and not there.
    if (parses && absl::StrContains(parsed.diagnostics.ToString(), "is not UTF-8")) continue;
    EXPECT_EQ(!parsed.diagnostics.has_errors(), parses) << parsed.diagnostics.ToString() << "\n" << text;
    if (HasFailure() && ++failures == 3) return;
    if (parses) {
      ASSERT_TRUE(MessageDifferencer::Equals(parsed.message, expected)) << text;
    }
    ++(parses ? good : bad);
  }
  EXPECT_GT(good, 100);
  EXPECT_GT(bad, 100);
}

TEST(Parse, PlacesAreWhereNamesBegin) {
  Sources sources;
  Diagnostics diagnostics;
  const ParseResult result =
      ParseText("name: \"é\" seed: 3\n\t# é\n  stage { name: \"a\"\n  corpus { text_field: \"x\" } }",
                FactsOf(Pipeline::descriptor()), sources, sources.Add("f"), diagnostics);
  const auto at = [&](absl::string_view path) { return sources.At(PlaceOf(*result.root, path)).ToString(); };
  EXPECT_EQ(at("name"), "f:1:1");
  EXPECT_EQ(at("seed"), "f:1:11");  // characters, not bytes
  EXPECT_EQ(at("stage.0"), "f:3:3");
  EXPECT_EQ(at("stage.0.corpus.text_field"), "f:4:12");
  EXPECT_EQ(at("stage.0.corpus.id_field"), "f:4:3");  // not set: where its message is
  EXPECT_EQ(at("stage.1"), "f");
}

struct FlagCase {
  const char* text;
  const char* field;
  const char* written;  // "": an error
};

TEST(Parse, ReadsFlags) {
  const MessageFacts& train = FactsOf(Train::descriptor());
  const MessageFacts& dedup = FactsOf(Dedup::descriptor());
  const FlagCase cases[] = {
      {"50k", "max_tokens", "\"50k\""},
      {"a \"b\"", "data", "\"a \\\"b\\\"\""},
      {"-5", "max_steps", "-5"},
      {"0x10", "max_steps", "16"},
      {"1e3", "max_steps", ""},
      {"BF16", "precision", "BF16"},
      {"bf16", "precision", ""},
      {"5 6", "max_steps", ""},
      {"", "max_steps", ""},
      {"[\"a\", \"b\"]", "from", "\"a\"\"b\""},
      {"a", "from", "\"a\""},
  };
  for (const FlagCase& c : cases) {
    const FieldFacts* field = train.Find(c.field) != nullptr ? train.Find(c.field) : &dedup.Get(c.field);
    Sources sources;
    Diagnostics diagnostics;
    std::vector<Value> values;
    const Place place{sources.Add("--set"), 0, 0};
    const bool good = ParseFlagValue(c.text, *field, sources, place, diagnostics, values);
    EXPECT_EQ(good, *c.written != '\0') << c.text;
    EXPECT_EQ(good, !diagnostics.has_errors()) << c.text;
    std::string written;
    for (const Value& value : values) written += ScalarText(value);
    EXPECT_EQ(written, c.written) << c.text;
    if (!good) {
      EXPECT_THAT(diagnostics.ToString(), HasSubstr("--set: "));
    }
  }
}

TEST(Lexer, KnowsUtf8) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("aé深🙂"));
  EXPECT_FALSE(IsUtf8("\xFF"));
  EXPECT_FALSE(IsUtf8("\xC3"));
  EXPECT_FALSE(IsUtf8("\xC0\x80"));          // overlong
  EXPECT_FALSE(IsUtf8("\xED\xA0\x80"));      // a surrogate
  EXPECT_FALSE(IsUtf8("\xF4\x90\x80\x80"));  // above U+10FFFF
}

TEST(Parse, SkipsAByteOrderMark) {
  Parsed parsed = Parse("\xEF\xBB\xBFname: \"x\"");
  EXPECT_FALSE(parsed.diagnostics.has_errors());
  EXPECT_EQ(parsed.message.name(), "x");
}

TEST(Parse, DepthIsBounded) {
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "stage {";
  EXPECT_TRUE(Parse(text).diagnostics.has_errors());
}

}  // namespace
}  // namespace millrace
