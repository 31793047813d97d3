// Encodes a file of JSON lines with a tokenizer.json; see encode_file.h for what it writes.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/diagnostic.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "data/tokenizer/encode_file.h"

namespace millrace::data {
namespace {

constexpr char kUsage[] =
    "usage: encode --tokenizer=tokenizer.json --input=docs.jsonl --output_dir=DIR [--threads=N]\n"
    "  --tokenizer   a tokenizer.json (byte-level BPE), or a folder that holds one\n"
    "  --input       JSON lines with a field \"text\"; may be .gz or .zst\n"
    "  --output_dir  gets ids.u32 (all ids) and offs.u64 (where each document begins, and the end), little-endian\n"
    "  --threads     all processors if left out; the result does not depend on it\n";

absl::StatusOr<std::map<std::string, std::string>> ParseFlags(int argc, char** argv) {
  std::map<std::string, std::string> flags = {{"tokenizer", ""}, {"input", ""}, {"output_dir", ""}, {"threads", "0"}};
  std::vector<std::string> names;
  for (const auto& [name, value] : flags) names.push_back(name);
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (!absl::ConsumePrefix(&argument, "--"))
      return absl::InvalidArgumentError(absl::StrCat("\"", argument, "\" is not a flag"));
    const size_t equals = argument.find('=');
    const std::string name(argument.substr(0, equals));
    if (!flags.contains(name)) {
      const std::string closest = Closest(name, names);
      return absl::InvalidArgumentError(
          absl::StrCat("there is no flag --", name, closest.empty() ? "" : absl::StrCat("\n  fix: --", closest)));
    }
    if (equals != absl::string_view::npos) {
      flags[name] = std::string(argument.substr(equals + 1));
    } else if (i + 1 < argc) {
      flags[name] = argv[++i];
    }
  }
  for (const auto& [name, value] : flags) {
    if (value.empty()) return absl::InvalidArgumentError(absl::StrCat("--", name, " is missing"));
  }
  return flags;
}

// `bazel run` starts programs elsewhere; what the user typed is relative to where they typed it.
std::string FromWhereTheUserIs(const std::string& path) {
  const char* const folder = std::getenv("BUILD_WORKING_DIRECTORY");
  return folder == nullptr || absl::StartsWith(path, "/") ? path : JoinPath(folder, path);
}

absl::Status Run(int argc, char** argv) {
  using Map = std::map<std::string, std::string>;
  ASSIGN_OR_RETURN(const Map flags, ParseFlags(argc, argv));
  int threads = 0;
  if (!absl::SimpleAtoi(flags.at("threads"), &threads) || threads < 0)
    return absl::InvalidArgumentError(
        absl::StrCat("--threads: \"", flags.at("threads"), "\" is not a number of threads"));
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Load(FromWhereTheUserIs(flags.at("tokenizer"))));

  const auto begin = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(const EncodeTotals totals, EncodeJsonLines(tokenizer, FromWhereTheUserIs(flags.at("input")),
                                                              FromWhereTheUserIs(flags.at("output_dir")), threads));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%lld documents, %lld bytes of text, %lld ids in %.2f s (%.1f MB/s with %d threads)\n",
              static_cast<long long>(totals.documents), static_cast<long long>(totals.text_bytes),
              static_cast<long long>(totals.ids), seconds, totals.text_bytes / 1e6 / seconds, threads);
  return absl::OkStatus();
}

}  // namespace
}  // namespace millrace::data

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--help") {
    std::fputs(millrace::data::kUsage, stdout);
    return 0;
  }
  const absl::Status status = millrace::data::Run(argc, argv);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  if (argc == 1) std::fputs(millrace::data::kUsage, stderr);
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
      return 2;
    default:
      return 1;
  }
}
