#include "executor/cli/show.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/quantity.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "data/corpus/document.h"
#include "data/shards/held_out.h"
#include "data/shards/mixture.h"
#include "data/shards/shard.h"
#include "data/tokenizer/token_file.h"
#include "data/tokenizer/tokenizer.h"
#include "executor/observe/display_width.h"
#include "executor/observe/metric_text.h"
#include "nlohmann/json.hpp"
#include "trainer/checkpoint/checkpoint.h"

namespace millrace {
namespace {

constexpr int kTextCharacters = 1500;  // of one document or sequence

class Shower {
 public:
  Shower(const std::string& folder, const ShowOptions& options) : folder_(folder), options_(options) {}

  absl::StatusOr<std::string> Show() {
    if (Has("checkpoint.json")) return Checkpoint();
    if (Has("order.bin")) return Mixture();
    if (Has("documents.bin")) return Tokens();
    if (Has("metrics.json")) return Metrics();
    if (Has("tokenizer.json") && !Has("model.safetensors")) return TokenizerInfo();
    if (Has("manifest.json")) {
      ASSIGN_OR_RETURN(const std::string manifest, ReadFile(JoinPath(folder_, "manifest.json")));
      const nlohmann::json json = nlohmann::json::parse(manifest, nullptr, /*allow_exceptions=*/false);
      if (json.is_object() && json.value("format", "") == "millrace.shards") {
        return json.value("kind", "") == "held_out" ? HeldOut() : Shards();
      }
      if (json.is_object() && json.contains("documents") && json.contains("sources")) return Documents();
    }
    return FileList();
  }

 private:
  bool Has(const char* name) const { return FileExists(JoinPath(folder_, name)); }
  int Head(int usual) const { return options_.head > 0 ? options_.head : usual; }

  std::string SourceName(int64_t ordinal) const {
    if (ordinal >= 0 && ordinal < options_.sources.size()) return options_.sources[ordinal];
    return absl::StrCat("source ", ordinal);
  }

  // Lines of a text, each behind a bar, cut to what a person reads.
  static std::string Quoted(absl::string_view text) {
    std::string quoted;
    int left = kTextCharacters;
    size_t lines = 0;
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      if (left <= 0 || ++lines > 40) {
        absl::StrAppend(&quoted, "  | …\n");
        break;
      }
      const std::string shown = TruncateToWidth(Printable(line), left);
      left -= DisplayWidth(shown) + 1;
      absl::StrAppend(&quoted, "  | ", shown, "\n");
    }
    return quoted;
  }

  static std::string CutNote(int64_t shown, int64_t all, absl::string_view what) {
    if (shown >= all) return "";
    return absl::StrCat("(", FormatGrouped(shown), " of ", FormatGrouped(all), " ", what, "; --head=N for more)\n");
  }

  absl::StatusOr<std::string> Documents() {
    ASSIGN_OR_RETURN(data::DocumentReader reader, data::DocumentReader::Open(folder_));
    std::string text =
        absl::StrCat("documents: ", FormatGrouped(reader.documents()), ", ", FormatBytes(reader.text_bytes()),
                     " of text, ", reader.sources(), reader.sources() == 1 ? " source\n" : " sources\n");
    const int64_t head = std::min<int64_t>(Head(5), reader.documents());
    data::Document document;
    for (int64_t i = 0; i < head; ++i) {
      ASSIGN_OR_RETURN(const bool more, reader.Next(document));
      if (!more) break;
      absl::StrAppend(&text, Printable(document.id), "  ", SourceName(document.source), ", ",
                      FormatBytes(document.text.size()),
                      document.language.empty() ? "" : absl::StrCat(", ", document.language),
                      document.licence.empty() ? "" : absl::StrCat(", ", document.licence),
                      document.held_out ? ", held out" : "", "\n", Quoted(document.text));
    }
    return absl::StrCat(text, CutNote(head, reader.documents(), "documents"));
  }

  absl::StatusOr<std::string> TokenizerInfo() {
    ASSIGN_OR_RETURN(const data::Tokenizer tokenizer, data::Tokenizer::Load(folder_));
    std::string text = absl::StrCat("tokenizer: ", FormatGrouped(tokenizer.vocab_size()), " ids");
    if (tokenizer.eos_id()) absl::StrAppend(&text, ", end of text is ", *tokenizer.eos_id());
    absl::StrAppend(&text, ", ", tokenizer.added_tokens().size(), " added tokens\n");
    const uint32_t head = std::min<uint32_t>(Head(20), tokenizer.vocab_size());
    // The last tokens are the rarest merges, and the longest.
    for (uint32_t id = tokenizer.vocab_size() - head; id < tokenizer.vocab_size(); ++id) {
      const std::string* bytes = tokenizer.TokenBytes(id);
      absl::StrAppendFormat(&text, "  %7d  ", id);
      absl::StrAppend(&text, bytes == nullptr ? "(none)" : absl::StrCat("\"", Printable(*bytes), "\""), "\n");
    }
    return text;
  }

  // Ids as text where a tokenizer is at hand.
  std::string Decoded(absl::Span<const uint32_t> ids) {
    if (!loaded_) {
      loaded_ = true;
      if (!options_.tokenizer_folder.empty()) {
        absl::StatusOr<data::Tokenizer> tokenizer = data::Tokenizer::Load(options_.tokenizer_folder);
        if (tokenizer.ok()) tokenizer_.emplace(*std::move(tokenizer));
      }
    }
    if (tokenizer_) return tokenizer_->Decode(ids);
    return absl::StrJoin(ids.subspan(0, std::min<size_t>(ids.size(), 200)), " ");
  }

  absl::StatusOr<std::string> Tokens() {
    ASSIGN_OR_RETURN(const data::TokenFile file, data::TokenFile::Open(folder_));
    const data::TokenFileInfo& info = file.info();
    std::string text = absl::StrCat("tokens: ", FormatGrouped(info.documents), " documents, ", FormatGrouped(info.ids),
                                    " ids below ", FormatGrouped(info.vocab_size));
    if (info.ids > 0) {
      absl::StrAppendFormat(&text, ", %.2f bytes of text each", static_cast<double>(info.text_bytes) / info.ids);
    }
    absl::StrAppend(&text, "\n");
    const int64_t head = std::min<int64_t>(Head(3), file.num_documents());
    for (int64_t i = 0; i < head; ++i) {
      const data::TokenDocument document = file.document(i);
      absl::StrAppend(&text, "document ", i, "  ", SourceName(document.source), ", ",
                      FormatGrouped(document.ids.size()), " ids", document.held_out ? ", held out" : "", ", sha256 ",
                      HexOf(document.text_sha256).substr(0, 12), "…\n", Quoted(Decoded(document.ids)));
    }
    return absl::StrCat(text, CutNote(head, file.num_documents(), "documents"));
  }

  std::string SourceTable(const data::ShardManifest& manifest) const {
    std::string text;
    for (const data::ShardManifest::Source& source : manifest.sources) {
      absl::StrAppend(&text, "  ", PadRight(SourceName(source.source), 16), " ",
                      PadLeft(FormatGrouped(source.documents), 9), " documents ",
                      PadLeft(FormatGrouped(source.tokens), 13), " tokens");
      if (source.sequences > 0) absl::StrAppend(&text, PadLeft(FormatGrouped(source.sequences), 9), " sequences");
      if (source.text_bytes > 0) absl::StrAppend(&text, "  ", FormatBytes(source.text_bytes));
      absl::StrAppend(&text, "\n");
    }
    return text;
  }

  // A sequence with a line at each place where a document begins. ids[p] is the end-of-text id before the document, so
  // the document's own first id is ids[p + 1].
  std::string SequenceText(const data::Sequence& sequence) {
    std::string text;
    size_t begin = 0;
    for (size_t k = 0; k <= sequence.document_starts.size(); ++k) {
      const bool last = k == sequence.document_starts.size();
      const size_t end = last ? sequence.ids.size() : sequence.document_starts[k];
      if (end > begin) absl::StrAppend(&text, Quoted(Decoded(sequence.ids.subspan(begin, end - begin))));
      if (!last) {
        absl::StrAppend(&text, "  +--- a document begins at position ", sequence.document_starts[k], "\n");
        begin = std::min<size_t>(sequence.document_starts[k] + 1, sequence.ids.size());
      }
    }
    return text;
  }

  std::string SequenceTitle(const data::Sequence& sequence) const {
    std::string title = absl::StrCat(SourceName(sequence.source), ", ", sequence.document_starts.size(),
                                     sequence.document_starts.size() == 1 ? " document begins" : " documents begin");
    if (!sequence.loss_weights.empty()) {
      const int64_t counted = std::count_if(sequence.loss_weights.begin(), sequence.loss_weights.end(),
                                            [](uint8_t weight) { return weight != 0; });
      absl::StrAppend(&title, ", ", counted, " of ", sequence.loss_weights.size(), " predictions count");
    }
    if (!sequence.document_starts.empty() && sequence.document_starts[0] != 0) {
      absl::StrAppend(&title, ", begins within a document");
    }
    return title;
  }

  absl::StatusOr<std::string> Shards() {
    ASSIGN_OR_RETURN(const data::ShardSet set, data::ShardSet::Open(folder_));
    const data::ShardManifest& manifest = set.manifest();
    std::string text = absl::StrCat(
        "shards: ", FormatGrouped(manifest.sequences), " sequences of ", FormatGrouped(manifest.sequence_length), ", ",
        FormatGrouped(manifest.tokens), " tokens of ", FormatGrouped(manifest.documents), " documents, ids below ",
        FormatGrouped(manifest.vocab_size), ", end of text is ", manifest.eos_id, ", ", manifest.strategy,
        manifest.attend_across_documents ? ", attention crosses documents" : ", attention stays within documents", "; ",
        manifest.files.size(), manifest.files.size() == 1 ? " file\n" : " files\n", SourceTable(manifest));
    const int64_t head = std::min<int64_t>(Head(2), set.num_sequences());
    for (int64_t row = 0; row < head; ++row) {
      ASSIGN_OR_RETURN(const data::Sequence sequence, set.Read(row));
      absl::StrAppend(&text, "sequence ", row, "  ", SequenceTitle(sequence), "\n", SequenceText(sequence));
    }
    return absl::StrCat(text, CutNote(head, set.num_sequences(), "sequences"));
  }

  absl::StatusOr<std::string> HeldOut() {
    ASSIGN_OR_RETURN(const data::HeldOutSet set, data::HeldOutSet::Open(folder_));
    const data::ShardManifest& manifest = set.manifest();
    std::string text =
        absl::StrCat("held-out documents: ", FormatGrouped(manifest.documents), ", ", FormatGrouped(manifest.tokens),
                     " ids below ", FormatGrouped(manifest.vocab_size), ", ", FormatBytes(manifest.text_bytes),
                     " of text, read in windows of ", manifest.sequence_length, "\n", SourceTable(manifest));
    const int64_t head = std::min<int64_t>(Head(2), set.num_documents());
    for (int64_t i = 0; i < head; ++i) {
      const data::HeldOutDocument document = set.document(i);
      absl::StrAppend(&text, "document ", i, "  ", SourceName(document.source), ", ",
                      FormatGrouped(document.ids.size()), " ids, ", FormatBytes(document.text_bytes), "\n",
                      Quoted(Decoded(document.ids)));
    }
    return absl::StrCat(text, CutNote(head, set.num_documents(), "documents"));
  }

  absl::StatusOr<std::string> Mixture() {
    ASSIGN_OR_RETURN(const data::Mixture mixture, data::Mixture::Open(folder_));
    const data::MixtureManifest& manifest = mixture.manifest();
    std::string text = absl::StrCat("mixture: ", FormatGrouped(manifest.positions), " positions of ",
                                    FormatGrouped(manifest.sequence_length), " tokens, ", manifest.when_exhausted);
    if (manifest.ended_by) absl::StrAppend(&text, ", ended by component ", *manifest.ended_by);
    absl::StrAppend(&text, "\n");
    for (size_t i = 0; i < manifest.components.size(); ++i) {
      const data::MixtureManifest::Component& component = manifest.components[i];
      absl::StrAppend(&text, "  component ", i, "  ",
                      PadRight(component.source ? SourceName(*component.source) : "all sources", 20));
      absl::StrAppendFormat(
          &text, " weight %.4g, share %.4f, %.2f epochs of %s sequences (at most %.4g)\n", component.weight,
          manifest.positions > 0 ? static_cast<double>(component.positions) / manifest.positions : 0.0,
          component.sequences > 0 ? static_cast<double>(component.positions) / component.sequences : 0.0,
          FormatGrouped(component.sequences), component.max_epochs);
    }
    const int64_t head = std::min<int64_t>(Head(2), mixture.num_positions());
    for (int64_t position = 0; position < head; ++position) {
      const data::SequenceRef ref = mixture.at(position);
      ASSIGN_OR_RETURN(const data::Sequence sequence, mixture.shards()[ref.folder].Read(ref.row));
      absl::StrAppend(&text, "position ", position, "  shards/", ref.folder, ", row ", FormatGrouped(ref.row), "  ",
                      SequenceTitle(sequence), "\n", SequenceText(sequence));
    }
    return absl::StrCat(text, CutNote(head, mixture.num_positions(), "positions"));
  }

  absl::StatusOr<std::string> Checkpoint() {
    ASSIGN_OR_RETURN(const trainer::CheckpointReader reader, trainer::CheckpointReader::Open(folder_));
    const trainer::CheckpointIndex& index = reader.index();
    int64_t parameters = 0;
    for (const trainer::CheckpointTensor& tensor : index.tensors) {
      if (absl::StartsWith(tensor.name, "weights/")) parameters += tensor.elements;
    }
    std::string text =
        absl::StrCat("checkpoint: step ", FormatGrouped(index.step), ", ", FormatGrouped(parameters), " parameters, ",
                     index.tensors.size(), " tensors, ", FormatBytes(index.total_bytes), " in ", index.num_ranges(),
                     index.num_ranges() == 1 ? " file\n" : " files\n", "model: ", index.model_json, "\n");
    // A norm reads the tensor: only where that takes a moment.
    const bool norms = index.total_bytes <= int64_t{2} << 30;
    int columns = 0;
    for (const trainer::CheckpointTensor& tensor : index.tensors) columns = std::max<int>(columns, tensor.name.size());
    const int64_t head = std::min<int64_t>(Head(200), index.tensors.size());
    for (int64_t i = 0; i < head; ++i) {
      const trainer::CheckpointTensor& tensor = index.tensors[i];
      absl::StrAppend(&text, "  ", PadRight(tensor.name, columns), "  float32  ",
                      PadRight(absl::StrCat("[", absl::StrJoin(tensor.shape, ", "), "]"), 18));
      if (norms) {
        ASSIGN_OR_RETURN(const std::vector<float> values, reader.Read(tensor.name));
        double squares = 0;
        int64_t bad = 0;
        for (float value : values) {
          squares += static_cast<double>(value) * value;
          bad += !std::isfinite(value);
        }
        absl::StrAppendFormat(&text, "  norm %.6g", std::sqrt(squares));
        if (bad > 0) absl::StrAppend(&text, "  ", FormatGrouped(bad), " NOT FINITE");
      }
      absl::StrAppend(&text, "\n");
    }
    return absl::StrCat(text, CutNote(head, index.tensors.size(), "tensors"));
  }

  absl::StatusOr<std::string> Metrics() {
    ASSIGN_OR_RETURN(const std::string content, ReadFile(JoinPath(folder_, "metrics.json")));
    const nlohmann::ordered_json json = nlohmann::ordered_json::parse(content, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) return absl::DataLossError("metrics.json is not JSON");
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

  absl::StatusOr<std::string> FileList() {
    ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(folder_));
    std::string text = absl::StrCat(files.size(), files.size() == 1 ? " file in " : " files in ", folder_, "\n");
    const int64_t head = std::min<int64_t>(Head(50), files.size());
    for (int64_t i = 0; i < head; ++i) {
      ASSIGN_OR_RETURN(const int64_t size, FileSize(JoinPath(folder_, files[i])));
      absl::StrAppend(&text, "  ", PadLeft(FormatBytes(size), 10), "  ", Printable(files[i]), "\n");
    }
    absl::StrAppend(&text, CutNote(head, files.size(), "files"));
    if (files.size() != 1) return text;
    // A single small text is what one came to see.
    ASSIGN_OR_RETURN(const int64_t size, FileSize(JoinPath(folder_, files[0])));
    if (size > 64 << 10) return text;
    ASSIGN_OR_RETURN(const std::string content, ReadFile(JoinPath(folder_, files[0])));
    if (content.find('\0') != std::string::npos) return text;
    return absl::StrCat(text, Quoted(content));
  }

  const std::string folder_;
  const ShowOptions& options_;
  bool loaded_ = false;
  std::optional<data::Tokenizer> tokenizer_;
};

}  // namespace

absl::StatusOr<std::string> ShowArtifact(const std::string& folder, const ShowOptions& options) {
  return Shower(folder, options).Show();
}

}  // namespace millrace
