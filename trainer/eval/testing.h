// Small models, held-out documents and a tokenizer for tests. All abort on an error.
#ifndef MILLRACE_TRAINER_EVAL_TESTING_H_
#define MILLRACE_TRAINER_EVAL_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "data/shards/held_out.h"
#include "trainer/eval/load_model.h"

namespace millrace::trainer {

// Two layers of width 16, freshly initialized: attends to all that it sees.
LoadedModel RandomTestModel(int64_t vocab_size, int64_t max_positions, uint64_t seed);
// The same with all weights zero: uniform.
LoadedModel UniformTestModel(int64_t vocab_size, int64_t max_positions);
// Predicts b after a with probability p[a][b], whatever came before. The vocabulary is even.
LoadedModel BigramTestModel(const std::vector<std::vector<double>>& p, int64_t max_positions);

// A checkpoint in `folder`, which is made.
void WriteTestCheckpoint(const std::string& folder, const LoadedModel& model);

// A byte is its value plus one; 0 is "<|end_of_text|>".
inline constexpr int64_t kByteVocabulary = 257;
void WriteByteTokenizer(const std::string& folder);
std::vector<uint32_t> ByteIds(const std::string& text);

struct TestDocument {
  std::vector<uint32_t> ids;
  uint32_t source = 0;
  std::string text;  // of its bytes and hash
};
TestDocument ByteDocument(const std::string& text, uint32_t source);

// A held-out set with end-of-text id 0 in `folder`, which is made.
void WriteTestHeldOut(const std::string& folder, const std::vector<TestDocument>& documents, uint32_t vocab_size);
data::HeldOutSet OpenTestHeldOut(const std::vector<TestDocument>& documents, uint32_t vocab_size);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_EVAL_TESTING_H_
