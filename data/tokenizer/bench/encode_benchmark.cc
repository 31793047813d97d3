// encode_benchmark TOKENIZER INPUT...: encodes the documents of JSON lines on one thread, in memory, and prints for
// each file the best of five rounds in MB of text per second of processor time. The first round begins with an empty
// cache; it is printed too. compare.py beside this shows other tokenizers' figures in the same run.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace millrace::data {
namespace {

double ThreadSeconds() {
  timespec time;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

int Run(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: encode_benchmark TOKENIZER INPUT.jsonl...\n");
    return 2;
  }
  const double load_begin = ThreadSeconds();
  const absl::StatusOr<Tokenizer> tokenizer = Tokenizer::Load(argv[1]);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", std::string(tokenizer.status().message()).c_str());
    return 2;
  }
  std::fprintf(stderr, "loaded in %.3f s\n", ThreadSeconds() - load_begin);
  for (int i = 2; i < argc; ++i) {
    std::ifstream file(argv[i]);
    std::vector<std::string> texts;
    size_t bytes = 0;
    for (std::string line; std::getline(file, line);) {
      texts.push_back(nlohmann::json::parse(line)["text"]);
      bytes += texts.back().size();
    }
    Encoder encoder(*tokenizer);
    double first = 0;
    double best = 1e9;
    size_t ids = 0;
    for (int round = 0; round < 5; ++round) {
      ids = 0;
      const double begin = ThreadSeconds();
      for (const std::string& text : texts) ids += encoder.Encode(text, SpecialTokens::kRecognised).size();
      const double seconds = ThreadSeconds() - begin;
      if (round == 0) first = seconds;
      best = std::min(best, seconds);
    }
    std::printf("%s: %zu bytes, %zu ids, %.1f MB/s at first, %.1f MB/s at best\n", argv[i], bytes, ids,
                bytes / 1e6 / first, bytes / 1e6 / best);
  }
  return 0;
}

}  // namespace
}  // namespace millrace::data

int main(int argc, char** argv) { return millrace::data::Run(argc, argv); }
