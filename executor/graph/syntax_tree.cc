#include "executor/graph/syntax_tree.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "executor/graph/unit.h"

namespace millrace {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kLineWidth = 100;

void SetScalar(const Value& value, Message& message, const Reflection& reflection) {
  const FieldDescriptor* field = value.field->descriptor;
  const bool add = value.field->repeated;
#define MILLRACE_SET(Type, x) add ? reflection.Add##Type(&message, field, x) : reflection.Set##Type(&message, field, x)
  switch (value.field->type) {
    case FieldDescriptor::CPPTYPE_INT32:
      MILLRACE_SET(Int32, static_cast<int32_t>(value.integer));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      MILLRACE_SET(Int64, value.integer);
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      MILLRACE_SET(UInt32, static_cast<uint32_t>(value.natural));
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      MILLRACE_SET(UInt64, value.natural);
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      MILLRACE_SET(Float, static_cast<float>(value.real));
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      MILLRACE_SET(Double, value.real);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      MILLRACE_SET(Bool, value.integer != 0);
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      MILLRACE_SET(EnumValue, static_cast<int>(value.integer));
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      MILLRACE_SET(String, value.text);
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
#undef MILLRACE_SET
}

void AppendQuoted(absl::string_view text, std::string& out) {
  out += '"';
  const auto is_plain = [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\' && c != 0x7F;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    size_t end = i;
    while (end < text.size() && is_plain(text[end])) ++end;
    out.append(text.data() + i, end - i);
    if (end == text.size()) break;
    i = end;
    const char c = text[i];
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        const unsigned char byte = static_cast<unsigned char>(c);
        out += '\\';
        out += static_cast<char>('0' + (byte >> 6));
        out += static_cast<char>('0' + ((byte >> 3) & 7));
        out += static_cast<char>('0' + (byte & 7));
    }
  }
  out += '"';
}

void AppendScalar(const Value& value, std::string& out) {
  switch (value.field->type) {
    case FieldDescriptor::CPPTYPE_STRING:
      AppendQuoted(value.text, out);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      out += value.integer != 0 ? "true" : "false";
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      out += value.field->descriptor->enum_type()->FindValueByNumber(static_cast<int>(value.integer))->name();
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      absl::StrAppend(&out, value.natural);
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      out += ExactText(value.real);
      break;
    default:
      absl::StrAppend(&out, value.integer);
  }
}

// In schema order; values of one field in theirs.
using OrderedValues = absl::InlinedVector<const Value*, 16>;
OrderedValues Ordered(const Node& node) {
  OrderedValues values;
  for (const Value& value : node.values) values.push_back(&value);
  const auto before = [](const Value* a, const Value* b) { return a->field->index < b->field->index; };
  if (!std::is_sorted(values.begin(), values.end(), before)) std::stable_sort(values.begin(), values.end(), before);
  return values;
}

// Appends the fields of `node` on one line. False: it is longer than `width`; `out` is then of no use.
bool AppendInline(const Node& node, size_t width, std::string& out) {
  const size_t begin = out.size();
  for (const Value* value : Ordered(node)) {
    if (out.size() > begin) out += ' ';
    out += value->field->name;
    if (value->message == nullptr) {
      out += ": ";
      AppendScalar(*value, out);
    } else if (value->message->values.empty()) {
      out += " {}";
    } else {
      out += " { ";
      if (!AppendInline(*value->message, width, out)) return false;
      out += " }";
    }
    if (out.size() - begin > width) return false;
  }
  return true;
}

void AppendText(const Node& node, int indent, std::string& out) {
  for (const Value* value : Ordered(node)) {
    out.append(indent, ' ');
    out += value->field->name;
    if (value->message == nullptr) {
      out += ": ";
      AppendScalar(*value, out);
      out += '\n';
      continue;
    }
    if (value->message->values.empty()) {
      out += " {}\n";
      continue;
    }
    const size_t mark = out.size();
    out += " { ";
    const size_t used = indent + value->field->name.size() + 5;
    if (used < kLineWidth && AppendInline(*value->message, kLineWidth - used, out)) {
      out += " }\n";
      continue;
    }
    out.resize(mark);
    out += " {\n";
    AppendText(*value->message, indent + 2, out);
    out.append(indent, ' ');
    out += "}\n";
  }
}

}  // namespace

Value Value::Clone() const {
  Value copy(field, place);
  copy.natural = natural;
  copy.text = text;
  if (message != nullptr) copy.message = message->Clone();
  return copy;
}

std::unique_ptr<Node> Node::Clone() const {
  auto copy = std::make_unique<Node>(type, place);
  copy->damaged = damaged;
  copy->values.reserve(values.size());
  for (const Value& value : values) copy->values.push_back(value.Clone());
  return copy;
}

const Value* Node::Find(const FieldFacts& field) const {
  for (auto value = values.rbegin(); value != values.rend(); ++value) {
    if (value->field == &field) return &*value;
  }
  return nullptr;
}

Value* Node::Find(const FieldFacts& field) { return const_cast<Value*>(static_cast<const Node*>(this)->Find(field)); }

const Node* Node::Child(absl::string_view field_name) const {
  const Value* value = Find(field_name);
  return value == nullptr ? nullptr : value->message.get();
}

absl::string_view Node::Text(absl::string_view field_name) const {
  const Value* value = Find(field_name);
  return value == nullptr ? absl::string_view() : absl::string_view(value->text);
}

std::vector<const Value*> Node::All(absl::string_view field_name) const {
  const FieldFacts* field = &type->Get(field_name);
  std::vector<const Value*> all;
  for (const Value& value : values) {
    if (value.field == field) all.push_back(&value);
  }
  return all;
}

void Node::Clear(const FieldFacts& field) {
  values.erase(std::remove_if(values.begin(), values.end(), [&](const Value& value) { return value.field == &field; }),
               values.end());
}

const Value* Node::OneofMember(int oneof) const {
  for (auto value = values.rbegin(); value != values.rend(); ++value) {
    if (value->field->oneof == oneof) return &*value;
  }
  return nullptr;
}

Place PlaceOf(const Node& node, absl::string_view path) {
  const Node* at = &node;
  Place place = node.place;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    const FieldFacts* field = at->type->Find(path.substr(0, dot));
    path = dot == absl::string_view::npos ? absl::string_view() : path.substr(dot + 1);
    if (field == nullptr) return place;
    int index = 0;
    if (field->repeated && !path.empty()) {
      const size_t end = path.find('.');
      if (absl::SimpleAtoi(path.substr(0, end), &index))
        path = end == absl::string_view::npos ? absl::string_view() : path.substr(end + 1);
    }
    const Value* found = nullptr;
    for (const Value& value : at->values) {
      if (value.field == field && index-- == 0) {
        found = &value;
        break;
      }
    }
    if (found == nullptr) return place;
    place = found->place;
    if (found->message == nullptr) return place;
    at = found->message.get();
  }
  return place;
}

void ToMessage(const Node& node, Message& message, bool (*leave_out)(const Value&)) {
  MILLRACE_CHECK(node.type->descriptor == message.GetDescriptor());
  const Reflection& reflection = *message.GetReflection();
  for (const Value& value : node.values) {
    if (leave_out != nullptr && leave_out(value)) continue;
    if (value.message == nullptr) {
      SetScalar(value, message, reflection);
    } else {
      ToMessage(*value.message,
                value.field->repeated ? *reflection.AddMessage(&message, value.field->descriptor)
                                      : *reflection.MutableMessage(&message, value.field->descriptor),
                leave_out);
    }
  }
}

std::string ScalarText(const Value& value) {
  std::string text;
  AppendScalar(value, text);
  return text;
}

std::string ToText(const Node& node) {
  std::string text;
  AppendText(node, 0, text);
  return text;
}

}  // namespace millrace
