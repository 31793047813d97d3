// The parity program's results against transformers' (testdata/parity/README.md), on one rank and on two; and the same
// bits on both.
#include "trainer/parity.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/file.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "trainer/safetensors/safetensors.h"

namespace millrace::trainer {
namespace {

using nlohmann::json;

constexpr char kRoot[] = "trainer/testdata/parity/";

json ReadJson(const std::string& path) {
  const auto text = ReadFile(path);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? json::parse(*text) : json();
}

std::vector<float> ReadLogits(const std::string& path, std::vector<int64_t>& shape) {
  const auto reader = SafetensorsReader::Open(path);
  EXPECT_TRUE(reader.ok()) << reader.status();
  const StoredTensor tensor = *reader->Get("logits");
  shape = tensor.shape;
  std::vector<float> values(tensor.elements());
  EXPECT_TRUE(reader->ReadFloats("logits", tensor.elements(), values.data()).ok());
  return values;
}

class ParityTest : public testing::TestWithParam<const char*> {};

TEST_P(ParityTest, AgreesWithTransformers) {
  const std::string folder = std::string(kRoot) + GetParam();
  const std::string out = *MakeTempDirectory("parity");
  ASSERT_EQ(RunParity(folder, JoinPath(out, "one"), 1), absl::OkStatus());
  ASSERT_EQ(RunParity(folder, JoinPath(out, "two"), 2), absl::OkStatus());
  EXPECT_EQ(*ReadFile(JoinPath(out, "one/result.json")), *ReadFile(JoinPath(out, "two/result.json")));
  EXPECT_EQ(*ReadFile(JoinPath(out, "one/logits.safetensors")), *ReadFile(JoinPath(out, "two/logits.safetensors")));

  const json expected = ReadJson(JoinPath(folder, "expected.json"));
  const json actual = ReadJson(JoinPath(out, "one/result.json"));
  const json& noise = expected["noise"];
  const auto tolerance = [&](const char* name, double floor) {
    return std::max(floor, 50 * noise[name].get<double>());
  };
  EXPECT_NEAR(actual["loss"].get<double>(), expected["loss"].get<double>(), tolerance("loss_abs", 1e-5));
  ASSERT_EQ(actual["grad_norms"].size(), expected["grad_norms"].size());
  const double least = 1e-3 * expected["grad_norm"].get<double>();
  for (const auto& [name, norm] : expected["grad_norms"].items()) {
    ASSERT_TRUE(actual["grad_norms"].contains(name)) << name;
    EXPECT_NEAR(actual["grad_norms"][name].get<double>(), norm.get<double>(),
                std::max(norm.get<double>(), least) * tolerance("grad_norm_rel_max", 2e-4))
        << name;
  }
  ASSERT_EQ(actual["loss_curve"].size(), expected["loss_curve"].size());
  for (size_t step = 0; step < expected["loss_curve"].size(); ++step) {
    EXPECT_NEAR(actual["loss_curve"][step].get<double>(), expected["loss_curve"][step].get<double>(),
                tolerance("loss_curve_max_abs", 2e-4))
        << "step " << step + 1;
    const double norm = expected["grad_norm_curve"][step].get<double>();
    EXPECT_NEAR(actual["grad_norm_curve"][step].get<double>(), norm, norm * tolerance("grad_norm_curve_rel_max", 2e-3));
  }
  for (const auto& [name, norm] : expected["final_param_norms"].items()) {
    EXPECT_NEAR(actual["final_param_norms"][name].get<double>(), norm.get<double>(), 1e-3 * norm.get<double>()) << name;
  }

  std::vector<int64_t> shape, expected_shape;
  const std::vector<float> logits = ReadLogits(JoinPath(out, "one/logits.safetensors"), shape);
  const std::vector<float> reference = ReadLogits(JoinPath(folder, "expected.safetensors"), expected_shape);
  const int64_t every = expected["logits_every"].get<int64_t>(), vocabulary = shape[2];
  double worst = 0;
  size_t next = 0;
  for (int64_t b = 0; b < shape[0]; ++b) {
    for (int64_t t = 0; t < shape[1]; t += every) {
      for (int64_t v = 0; v < vocabulary; ++v) {
        worst = std::max<double>(worst, std::fabs(logits[(b * shape[1] + t) * vocabulary + v] - reference.at(next++)));
      }
    }
  }
  EXPECT_EQ(next, reference.size());
  EXPECT_LE(worst, tolerance("logits_max_abs", 5e-5));
  ASSERT_TRUE(RemoveTree(out).ok());
}

INSTANTIATE_TEST_SUITE_P(Cases, ParityTest, testing::Values("llama_mha", "llama_gqa", "llama_linear_rope"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Parity, AnotherArchitectureIsRefusedByName) {
  const absl::Status status = RunParity(std::string(kRoot) + "v3", "unused", 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("\"deepseek_v3\""), absl::string_view::npos) << status;
  EXPECT_EQ(RunParity("no/such/case", "unused", 1).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace millrace::trainer
