// Prints the sequences of pre_tokenizer.h as JSON: {name: [[kind, pattern], ...]}.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/tokenizer/pre_tokenizer.h"

int main() {
  using namespace millrace::data;
  nlohmann::ordered_json all;
  const auto add = [&](const char* name, const std::vector<SplitStep>& steps) {
    static const char* const kKinds[] = {"regex", "text", "digits", "individual_digits"};
    for (const SplitStep& step : steps) all[name].push_back({kKinds[static_cast<int>(step.kind)], step.pattern});
  };
  add("gpt2", Gpt2Steps());
  add("deepseek_llm", DeepSeekLlmSteps());
  add("deepseek_coder", DeepSeekCoderSteps());
  add("deepseek_v3", DeepSeekV3Steps());
  std::printf("%s\n", all.dump().c_str());
}
