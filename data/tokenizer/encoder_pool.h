// Encoders that threads take and give back, so that their caches stay warm from one document to the next.
#ifndef MILLRACE_DATA_TOKENIZER_ENCODER_POOL_H_
#define MILLRACE_DATA_TOKENIZER_ENCODER_POOL_H_

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace millrace::data {

// Thread-safe. `tokenizer` outlives this.
class EncoderPool {
 public:
  explicit EncoderPool(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  std::unique_ptr<Encoder> Take() {
    const std::lock_guard lock(mutex_);
    if (encoders_.empty()) return std::make_unique<Encoder>(tokenizer_);
    std::unique_ptr<Encoder> encoder = std::move(encoders_.back());
    encoders_.pop_back();
    return encoder;
  }
  void GiveBack(std::unique_ptr<Encoder> encoder) {
    const std::lock_guard lock(mutex_);
    encoders_.push_back(std::move(encoder));
  }

 private:
  const Tokenizer& tokenizer_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Encoder>> encoders_;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_ENCODER_POOL_H_
