#include "trainer/runtime/gradient_store.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "trainer/model/parallel.h"
#include "trainer/optim/norm.h"
#include "trainer/runtime/fixed_point.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kGrainBlocks = 8;

}  // namespace

absl::StatusOr<GradientStore> GradientStore::New(const Schedule& schedule, std::vector<int64_t> elements,
                                                 GradientSum mode, Comm& comm) {
  GradientStore store(schedule, std::move(elements), mode);
  ASSIGN_OR_RETURN(void* memory, comm.Allocate(store.size_bytes_));
  store.integers_ = static_cast<int64_t*>(memory);
  store.floats_ = static_cast<float*>(memory);
  return store;
}

GradientStore::GradientStore(const Schedule& schedule, std::vector<int64_t> elements, GradientSum mode)
    : num_leaves_(schedule.num_leaves),
      integer_(mode == GradientSum::kInt64),
      elements_(std::move(elements)),
      offset_of_tensor_(elements_.size()) {
  int64_t offset = 0;
  for (const Bucket& bucket : schedule.buckets) {
    Piece piece{.begin = offset};
    for (const int u : bucket.units) {
      const Unit& unit = schedule.units[u];
      for (const int t : unit.tensors) {
        offset_of_tensor_[t] = offset;
        offset += elements_[t];
      }
      if (unit.weights >= 0) continue;
      report_offset_ = offset;
      if (integer_) {
        offset += unit.elements;
      } else {
        report_.resize(unit.elements);
      }
    }
    piece.elements = offset - piece.begin;
    buckets_.push_back(piece);
  }
  size_bytes_ = offset * (integer_ ? 8 : 4);
}

absl::Span<int64_t> GradientStore::report() {
  if (!integer_) return absl::MakeSpan(report_);
  const Piece& last = buckets_.back();
  return absl::MakeSpan(integers_ + report_offset_, last.begin + last.elements - report_offset_);
}

void GradientStore::Zero(const Unit& unit) {
  if (unit.weights < 0) {
    std::fill(report().begin(), report().end(), 0);
    return;
  }
  for (const int t : unit.tensors) {
    if (integer_) {
      std::fill_n(integers_ + offset_of_tensor_[t], elements_[t], 0);
    } else {
      std::fill_n(floats_ + offset_of_tensor_[t], elements_[t], 0.0f);
    }
  }
}

bool GradientStore::Accumulate(int tensor, const float* gradient, bool overwrite) {
  const int64_t count = elements_[tensor];
  const float limit = GradientLimit(num_leaves_);
  std::atomic<bool> ok = true;
  ParallelRange(NormBlocks(count), kGrainBlocks, [&](int64_t first_block, int64_t last_block) {
    const int64_t begin = first_block * kGradientBlock, end = std::min(count, last_block * kGradientBlock);
    if (integer_) {
      int64_t* sum = integers_ + offset_of_tensor_[tensor] + begin;
      if (!AccumulateGradient(end - begin, gradient + begin, limit, overwrite, sum)) ok = false;
      return;
    }
    float* sum = floats_ + offset_of_tensor_[tensor];
    for (int64_t i = begin; i < end; ++i) sum[i] = overwrite ? gradient[i] : sum[i] + gradient[i];
  });
  return ok;
}

absl::Status GradientStore::AllReduce(int bucket, Comm& comm) {
  const Piece& piece = buckets_[bucket];
  const std::string what = absl::StrCat("gradients, bucket ", bucket, " of ", buckets_.size());
  if (integer_) return comm.AllReduceSum(absl::MakeSpan(integers_ + piece.begin, piece.elements), what);
  if (piece.elements == 0) return comm.AllReduceSum(absl::MakeSpan(report_), "the step's report");
  return comm.AllReduceSum(absl::MakeSpan(floats_ + piece.begin, piece.elements), what);
}

double GradientStore::FinishAndNorm(const std::vector<int>& order) {
  std::vector<std::pair<int, int64_t>> blocks;
  for (const int t : order) {
    for (int64_t b = 0; b < NormBlocks(elements_[t]); ++b) blocks.push_back({t, b});
  }
  std::vector<double> partial(blocks.size());
  const double scale = 1 / kGradientScale / static_cast<double>(num_leaves_);
  const float float_scale = 1.0f / static_cast<float>(num_leaves_);
  ParallelRange(blocks.size(), kGrainBlocks, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const auto [tensor, block] = blocks[i];
      const int64_t begin = block * kGradientBlock, count = std::min(kGradientBlock, elements_[tensor] - begin);
      float* mean = const_cast<float*>(MeanBlock(tensor, block));
      if (integer_) {
        ToFloat(count, integers_ + offset_of_tensor_[tensor] + begin, scale, mean);
      } else {
        for (int64_t k = 0; k < count; ++k) mean[k] *= float_scale;
      }
      SumOfSquaresBlocks(count, mean, &partial[i]);
    }
  });
  double total = 0;
  for (const double value : partial) total += value;
  return std::sqrt(total);
}

// In the memory of the block's own sums, at its beginning: no block's means touch another's sums.
const float* GradientStore::MeanBlock(int tensor, int64_t block) const {
  const int64_t at = offset_of_tensor_[tensor] + block * kGradientBlock;
  return integer_ ? reinterpret_cast<const float*>(integers_ + at) : floats_ + at;
}

}  // namespace millrace::trainer
