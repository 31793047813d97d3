#include "executor/graph/retired.h"

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "google/protobuf/text_format.h"
#include "pipelines/schema/pipeline.pb.h"

namespace millrace {
namespace {

constexpr char kText[] =
#include "executor/graph/retired_textproto.inc"
    ;

const RetiredNames& Names() {
  static const RetiredNames& names = *[] {
    auto* parsed = new RetiredNames;
    MILLRACE_CHECK(google::protobuf::TextFormat::ParseFromString(kText, parsed));
    return parsed;
  }();
  return names;
}

}  // namespace

absl::optional<RetiredField> FindRetired(absl::string_view message, absl::string_view field) {
  const std::string name = absl::StrCat(message, ".", field);
  for (const Retired& retired : Names().retired()) {
    if (retired.field() == name) return RetiredField{retired.since(), retired.remedy()};
  }
  return absl::nullopt;
}

}  // namespace millrace
