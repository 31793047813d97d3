#include "data/shards/pack.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "data/shards/best_fit.h"
#include "data/shards/held_out.h"
#include "data/shards/sequence_builder.h"
#include "data/shards/shard.h"

namespace millrace::data {
namespace {

// Part of a document: the predictions [first, first + count) of its ids and the end-of-text id.
struct Piece {
  int64_t document = 0;
  uint32_t first = 0;
  uint32_t count = 0;
};

// The indices of the documents that go to one output, by source, content hash and index.
std::vector<int64_t> OrderOf(const TokenFile& tokens, bool held_out, int64_t* documents_empty) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < tokens.num_documents(); ++i) {
    const TokenDocument document = tokens.document(i);
    if (document.held_out != held_out) continue;
    if (document.ids.empty() && !held_out)
      ++*documents_empty;
    else
      order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const TokenDocument x = tokens.document(a), y = tokens.document(b);
    if (x.source != y.source) return x.source < y.source;
    if (x.text_sha256 != y.text_sha256) return x.text_sha256 < y.text_sha256;
    return a < b;
  });
  return order;
}

// The documents of one source, in their order, on the way into sequences.
class Packer {
 public:
  Packer(const TokenFile& tokens, const Pack& parameters, const std::function<void(int64_t)>& progress)
      : tokens_(tokens), parameters_(parameters), progress_(progress), length_(parameters.sequence_length()) {}

  // Decides where each document of `source` goes; the sequences come later, in Write.
  void Plan(absl::Span<const int64_t> documents, uint32_t source);
  int64_t num_sequences() const { return num_sequences_; }
  absl::Status Write(ShardSetWriter* writer);

  int64_t documents_cut() const { return documents_cut_; }
  int64_t tokens_dropped() const { return tokens_dropped_; }
  int64_t tokens() const { return tokens_planned_; }

 private:
  struct SourcePlan {
    uint32_t source = 0;
    absl::Span<const int64_t> documents;
    std::vector<Piece> pieces;      // BEST_FIT: sequence by sequence
    std::vector<uint8_t> is_first;  // of each piece: it begins a sequence
  };

  int64_t Predictions(int64_t document) const { return tokens_.document(document).ids.size() + 1; }
  void PlanConcatenate(const SourcePlan& plan);
  void PlanBestFit(SourcePlan* plan);
  void PlanOnePerSequence(const SourcePlan& plan);
  absl::Status Append(const Piece& piece, SequenceBuilder* builder);

  const TokenFile& tokens_;
  const Pack& parameters_;
  const std::function<void(int64_t)>& progress_;
  const int64_t length_;
  std::vector<SourcePlan> plans_;
  std::vector<uint32_t> ids_;  // of one piece
  int64_t num_sequences_ = 0;
  int64_t documents_cut_ = 0;
  int64_t tokens_dropped_ = 0;
  int64_t tokens_planned_ = 0;
};

void Packer::Plan(absl::Span<const int64_t> documents, uint32_t source) {
  SourcePlan& plan = plans_.emplace_back();
  plan.source = source;
  plan.documents = documents;
  for (const int64_t document : documents) tokens_planned_ += Predictions(document);
  switch (parameters_.strategy()) {
    case Pack::CONCATENATE:
      return PlanConcatenate(plan);
    case Pack::BEST_FIT:
      return PlanBestFit(&plan);
    case Pack::ONE_PER_SEQUENCE:
      return PlanOnePerSequence(plan);
  }
}

void Packer::PlanConcatenate(const SourcePlan& plan) {
  int64_t position = 0;
  for (const int64_t document : plan.documents) {
    const int64_t end = position + Predictions(document);
    if (position / length_ != (end - 1) / length_) ++documents_cut_;
    position = end;
  }
  num_sequences_ += (position + length_ - 1) / length_;
}

void Packer::PlanOnePerSequence(const SourcePlan& plan) {
  for (const int64_t document : plan.documents) {
    const int64_t dropped = std::max<int64_t>(0, Predictions(document) - length_);
    if (dropped > 0) ++documents_cut_;
    tokens_dropped_ += dropped;
    tokens_planned_ -= dropped;
  }
  num_sequences_ += plan.documents.size();
}

void Packer::PlanBestFit(SourcePlan* plan) {
  std::vector<Piece> parts;     // shorter than a sequence: to be packed
  std::vector<uint32_t> sizes;  // of each part, with room for its context where it needs one
  for (const int64_t document : plan->documents) {
    const int64_t predictions = Predictions(document);
    if (predictions > length_) ++documents_cut_;
    int64_t first = 0;
    for (; predictions - first >= length_; first += length_) {
      plan->pieces.push_back({document, static_cast<uint32_t>(first), static_cast<uint32_t>(length_)});
    }
    if (first == predictions) continue;
    const auto rest = static_cast<uint32_t>(predictions - first);
    parts.push_back({document, static_cast<uint32_t>(first), rest});
    sizes.push_back(first == 0 ? rest : rest + 1);
  }
  plan->is_first.assign(plan->pieces.size(), 1);
  num_sequences_ += plan->pieces.size();

  uint32_t num_bins = 0;
  const std::vector<uint32_t> bin_of = BestFitDecreasing(sizes, length_, &num_bins);
  num_sequences_ += num_bins;
  std::vector<uint64_t> first_of(size_t{num_bins} + 1, 0);  // where each bin's parts begin, by counting
  for (const uint32_t bin : bin_of) ++first_of[bin + 1];
  std::partial_sum(first_of.begin(), first_of.end(), first_of.begin());
  const size_t whole = plan->pieces.size();
  plan->pieces.resize(whole + parts.size());
  plan->is_first.resize(plan->pieces.size(), 0);
  for (uint32_t bin = 0; bin < num_bins; ++bin) plan->is_first[whole + first_of[bin]] = 1;
  for (size_t i = 0; i < parts.size(); ++i) plan->pieces[whole + first_of[bin_of[i]]++] = parts[i];
}

absl::Status Packer::Append(const Piece& piece, SequenceBuilder* builder) {
  const uint32_t eos = *tokens_.info().eos_id;
  const int64_t document_ids = Predictions(piece.document) - 1;
  const int64_t begin = piece.first == 0 ? 0 : piece.first - 1;
  const int64_t end = std::min<int64_t>(piece.first + int64_t{piece.count}, document_ids);
  RETURN_IF_ERROR(tokens_.ReadIds(piece.document, begin, end - begin, ids_));
  builder->StartPiece(piece.first == 0 ? eos : ids_[0]);
  for (int64_t i = piece.first; i < piece.first + int64_t{piece.count}; ++i)
    RETURN_IF_ERROR(builder->Append(i < document_ids ? ids_[i - begin] : eos));
  return absl::OkStatus();
}

absl::Status Packer::Write(ShardSetWriter* writer) {
  int64_t done = 0;
  const auto report = [&] {
    if (++done % 256 == 0) progress_(done);
  };
  for (const SourcePlan& plan : plans_) {
    writer->CountDocuments(plan.source, plan.documents.size());
    SequenceBuilder builder(length_, *tokens_.info().eos_id, plan.source, writer);
    if (parameters_.strategy() == Pack::BEST_FIT) {
      for (size_t i = 0; i < plan.pieces.size(); ++i) {
        if (plan.is_first[i]) RETURN_IF_ERROR(builder.Finish());
        RETURN_IF_ERROR(Append(plan.pieces[i], &builder));
        if (plan.pieces[i].first == 0) report();
      }
    } else {
      const bool one = parameters_.strategy() == Pack::ONE_PER_SEQUENCE;
      for (const int64_t document : plan.documents) {
        const int64_t predictions = Predictions(document);
        const int64_t count = one ? std::min(predictions, length_) : predictions;
        RETURN_IF_ERROR(Append({document, 0, static_cast<uint32_t>(count)}, &builder));
        if (one) RETURN_IF_ERROR(builder.Finish());
        report();
      }
    }
    RETURN_IF_ERROR(builder.Finish());
  }
  progress_(done);
  return absl::OkStatus();
}

absl::StatusOr<ShardManifest> WriteHeldOut(const TokenFile& tokens, const ShardManifest& info,
                                           const std::string& folder, int64_t shard_size_bytes) {
  HeldOutWriter writer(folder, info, shard_size_bytes);
  std::vector<uint32_t> ids;
  for (const int64_t index : OrderOf(tokens, /*held_out=*/true, nullptr)) {
    const TokenDocument document = tokens.document(index);
    RETURN_IF_ERROR(tokens.ReadIds(index, 0, document.ids.size(), ids));
    RETURN_IF_ERROR(writer.Append({ids, document.source, document.text_bytes, document.text_sha256}));
  }
  RETURN_IF_ERROR(writer.Close());
  return writer.manifest();
}

}  // namespace

absl::StatusOr<PackResult> PackTokens(const TokenFile& tokens, const Pack& parameters, const std::string& train_folder,
                                      const std::string& held_out_folder,
                                      const std::function<void(int64_t)>& progress) {
  if (!tokens.info().eos_id.has_value()) {
    return absl::InvalidArgumentError(
        "the tokenizer has no end-of-text id\n  why: pack closes each document with it\n"
        "  fix: a tokenizer.json with an end-of-text special token, or train_tokenizer");
  }
  if (tokens.info().sources > 0xFFFF) {
    return absl::InvalidArgumentError(absl::StrCat("the tokens have ", tokens.info().sources,
                                                   " sources; shards number up to 65535\n  fix: merge sources"));
  }
  ASSIGN_OR_RETURN(const int64_t shard_size_bytes, ParseBytes(parameters.shard_size()));
  ShardManifest info;
  info.sequence_length = parameters.sequence_length();
  info.attend_across_documents = parameters.attend_across_documents();
  info.strategy = Pack::Strategy_Name(parameters.strategy());
  info.vocab_size = tokens.info().vocab_size;
  info.eos_id = *tokens.info().eos_id;

  PackResult result;
  const std::vector<int64_t> order = OrderOf(tokens, /*held_out=*/false, &result.documents_empty);
  Packer packer(tokens, parameters, progress);
  for (size_t begin = 0; begin < order.size();) {
    const uint32_t source = tokens.document(order[begin]).source;
    size_t end = begin + 1;
    while (end < order.size() && tokens.document(order[end]).source == source) ++end;
    packer.Plan(absl::MakeConstSpan(order).subspan(begin, end - begin), source);
    begin = end;
  }
  ShardSetWriter writer(train_folder, info, packer.num_sequences(), shard_size_bytes);
  RETURN_IF_ERROR(packer.Write(&writer));
  RETURN_IF_ERROR(writer.Close());
  result.train = writer.manifest();
  result.documents_cut = packer.documents_cut();
  result.tokens_dropped = packer.tokens_dropped();
  if (result.train.tokens != packer.tokens()) {
    return absl::InternalError(absl::StrCat("pack wrote ", result.train.tokens, " of ", packer.tokens(),
                                            " tokens\n  fix: this is a defect of Millrace; please report it"));
  }
  info.strategy = "";
  ASSIGN_OR_RETURN(result.held_out, WriteHeldOut(tokens, info, held_out_folder, shard_size_bytes));
  return result;
}

}  // namespace millrace::data
