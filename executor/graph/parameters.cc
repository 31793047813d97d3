#include "executor/graph/parameters.h"

#include <utility>

#include "pipelines/schema/model.pb.h"
#include "trainer/arch/model_config.h"

namespace millrace {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

void ExpandModel(Node& model) {
  Model message;
  ToMessage(model, message);
  trainer::ExpandPreset(&message);
  const Value* preset = model.Find("preset");
  const Place place = preset == nullptr ? model.place : preset->place;
  const auto& reflection = *message.GetReflection();
  model.Clear(model.type->Get("preset"));
  for (const FieldFacts& field : model.type->fields) {
    if (!reflection.HasField(message, field.descriptor) || model.Find(field) != nullptr) continue;
    Value value(&field, place);
    switch (field.type) {
      case FieldDescriptor::CPPTYPE_INT32:
        value.integer = reflection.GetInt32(message, field.descriptor);
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        value.real = reflection.GetDouble(message, field.descriptor);
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        value.integer = reflection.GetBool(message, field.descriptor);
        break;
      default:
        continue;
    }
    if (!IsDefault(value)) model.values.push_back(std::move(value));
  }
}

bool IsNoParameter(const Value& value) {
  return value.field->is_input || (value.message == nullptr && IsDefault(value));
}

}  // namespace

void ExpandPresets(Node& pipeline) {
  for (Value& stage : pipeline.values) {
    if (stage.message == nullptr || stage.message->type->name != "Stage") continue;
    for (Value& kind : stage.message->values) {
      if (kind.message == nullptr || kind.message->type->name != "Train") continue;
      Value* model = kind.message->Find(kind.message->type->Get("model"));
      if (model != nullptr) ExpandModel(*model->message);
    }
  }
}

bool IsDefault(const Value& value) {
  const FieldFacts& field = *value.field;
  if (!field.has_default || field.repeated) return false;
  switch (field.type) {
    case FieldDescriptor::CPPTYPE_INT32:
      return value.integer == field.descriptor->default_value_int32();
    case FieldDescriptor::CPPTYPE_INT64:
      return value.integer == field.descriptor->default_value_int64();
    case FieldDescriptor::CPPTYPE_UINT32:
      return value.natural == field.descriptor->default_value_uint32();
    case FieldDescriptor::CPPTYPE_UINT64:
      return value.natural == field.descriptor->default_value_uint64();
    case FieldDescriptor::CPPTYPE_FLOAT:
      return value.real == field.descriptor->default_value_float();
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return value.real == field.descriptor->default_value_double();
    case FieldDescriptor::CPPTYPE_BOOL:
      return (value.integer != 0) == field.descriptor->default_value_bool();
    case FieldDescriptor::CPPTYPE_ENUM:
      return value.integer == field.descriptor->default_value_enum()->number();
    case FieldDescriptor::CPPTYPE_STRING:
      return value.text == field.default_text;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return false;
}

std::shared_ptr<const Message> ToParameters(const Node& body) {
  std::shared_ptr<Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(body.type->descriptor)->New());
  ToMessage(body, *message, &IsNoParameter);
  return message;
}

}  // namespace millrace
