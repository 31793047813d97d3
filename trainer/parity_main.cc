// parity parity CASE_DIR OUT_DIR [--ranks N]
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "trainer/model/numerics.h"
#include "trainer/parity.h"

namespace {

constexpr char kUsage[] =
    "usage: parity parity CASE_DIR OUT_DIR [--ranks N]\n"
    "Computes loss, logits, gradients and a short training run of the model in CASE_DIR (config.json,\n"
    "model.safetensors, inputs.safetensors, expected.json) and writes result.json and logits.safetensors\n"
    "into OUT_DIR, for comparison with another implementation. N ranks (1 to 64) are threads of one process.\n";

}  // namespace

int main(int argc, char** argv) {
  millrace::trainer::EnsureNumericsEnvironment(argv);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  int ranks = 1;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--help") {
      std::fputs(kUsage, stdout);
      return 0;
    }
    std::string value;
    if (arguments[i] == "--ranks" && i + 1 < arguments.size()) {
      value = arguments[i + 1];
      arguments.erase(arguments.begin() + i, arguments.begin() + i + 2);
    } else if (absl::StartsWith(arguments[i], "--ranks=")) {
      value = arguments[i].substr(8);
      arguments.erase(arguments.begin() + i);
    } else {
      continue;
    }
    if (!absl::SimpleAtoi(value, &ranks) || ranks < 1 || ranks > 64) {
      std::fprintf(stderr, "--ranks %s: not a number from 1 to 64\n%s", value.c_str(), kUsage);
      return 2;
    }
    --i;
  }
  if (arguments.size() != 3 || arguments[0] != "parity") {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const absl::Status status = millrace::trainer::RunParity(arguments[1], arguments[2], ranks);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
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
