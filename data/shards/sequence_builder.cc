#include "data/shards/sequence_builder.h"

#include "base/check.h"
#include "base/status_macros.h"

namespace millrace::data {

void SequenceBuilder::StartPiece(uint32_t context) {
  if (ids_.empty()) {
    ids_.push_back(context);
  } else if (ids_.back() != context) {
    MILLRACE_CHECK(predictions() + 1 < sequence_length_);
    ids_.push_back(context);
    weights_.push_back(0);
  }
  starts_.push_back(ids_.size() - 1);
}

absl::Status SequenceBuilder::Append(uint32_t id) {
  MILLRACE_CHECK(!ids_.empty());
  ids_.push_back(id);
  weights_.push_back(1);
  return predictions() == sequence_length_ ? Write() : absl::OkStatus();
}

absl::Status SequenceBuilder::Finish() {
  if (predictions() > 0) {
    ids_.resize(sequence_length_ + 1, eos_id_);
    weights_.resize(sequence_length_, 0);
    RETURN_IF_ERROR(Write());
  }
  ids_.clear();
  starts_.clear();
  return absl::OkStatus();
}

absl::Status SequenceBuilder::Write() {
  RETURN_IF_ERROR(writer_->Append({ids_, starts_, weights_, source_}));
  ids_ = {ids_.back()};
  starts_.clear();
  weights_.clear();
  return absl::OkStatus();
}

}  // namespace millrace::data
