// The counts of the variable columns are in a footer, so that a shard is written front to back and hashed on the way.
#include "data/shards/shard.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace millrace::data {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian and mapped as they are");

constexpr absl::string_view kMagic = "MRSHARDS";
constexpr absl::string_view kEndMagic = "MRSHARDE";
constexpr uint32_t kVersion = 1;
constexpr uint32_t kAttendAcross = 1;
constexpr uint32_t kAllOnes = 0xFFFFFFFF;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t sequence_length;
  uint64_t sequences;
  uint32_t vocab_size;
  uint32_t eos_id;
  uint32_t flags;
  uint32_t zero[7];
};
static_assert(sizeof(Header) == 64);

struct Footer {
  uint64_t starts;
  uint64_t weight_rows;
  char magic[8];
  uint64_t zero;
};
static_assert(sizeof(Footer) == 32);

uint64_t RoundUp8(uint64_t size) { return (size + 7) / 8 * 8; }

// Takes columns off the front of a file's bytes. The sizes are checked against the whole before.
class ColumnReader {
 public:
  ColumnReader(absl::string_view bytes, uint64_t offset) : bytes_(bytes), offset_(offset) {}

  template <typename T>
  absl::Span<const T> Take(uint64_t count) {
    const auto* data = reinterpret_cast<const T*>(bytes_.data() + offset_);
    offset_ += RoundUp8(count * sizeof(T));
    return {data, static_cast<size_t>(count)};
  }

 private:
  absl::string_view bytes_;
  uint64_t offset_;
};

template <typename T>
absl::string_view AsBytes(absl::Span<const T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

absl::Status DamagedError(const std::string& path, absl::string_view why) {
  return absl::DataLossError(
      absl::StrCat(path, ": not a whole shard\n  why: ", why, "\n  fix: run the `pack` stage again"));
}

}  // namespace

absl::StatusOr<Shard> Shard::Open(const std::string& path) {
  Shard shard;
  ASSIGN_OR_RETURN(shard.file_, MappedFile::Open(path));
  const absl::string_view bytes = shard.file_.data();
  if (bytes.size() < sizeof(Header) + sizeof(Footer))
    return DamagedError(path, "it is shorter than its header and footer");
  Header header;
  Footer footer;
  std::memcpy(&header, bytes.data(), sizeof(header));
  std::memcpy(&footer, bytes.data() + bytes.size() - sizeof(footer), sizeof(footer));
  if (absl::string_view(header.magic, 8) != kMagic) return DamagedError(path, "it does not begin with \"MRSHARDS\"");
  if (header.version != kVersion)
    return DamagedError(path, absl::StrCat("version ", header.version, ", expected ", kVersion));
  if (absl::string_view(footer.magic, 8) != kEndMagic) return DamagedError(path, "it does not end with its footer");

  // Each count is bounded by the file's size before it is multiplied.
  const uint64_t n = header.sequences, length = header.sequence_length, limit = bytes.size();
  const bool plausible =
      length > 0 && n <= limit / 4 / (length + 1) && footer.starts <= limit / 4 && footer.weight_rows <= limit / length;
  const uint64_t expected = !plausible ? 0
                                       : sizeof(Header) + RoundUp8(4 * n * (length + 1)) + RoundUp8(2 * n) +
                                             2 * RoundUp8(4 * n) + RoundUp8(4 * footer.starts) +
                                             RoundUp8(footer.weight_rows * length) + sizeof(Footer);
  if (expected != limit) {
    return DamagedError(path, absl::StrCat("it has ", limit, " bytes, which is not ", n, " sequences of ", length,
                                           " with ", footer.starts, " document starts"));
  }

  shard.sequence_length_ = length;
  shard.num_sequences_ = n;
  shard.vocab_size_ = header.vocab_size;
  ColumnReader columns(bytes, sizeof(Header));
  shard.ids_ = columns.Take<uint32_t>(n * (length + 1));
  shard.sources_ = columns.Take<uint16_t>(n);
  shard.start_ends_ = columns.Take<uint32_t>(n);
  shard.starts_ = columns.Take<uint32_t>(footer.starts);
  shard.weight_rows_ = columns.Take<uint32_t>(n);
  shard.weights_ = columns.Take<uint8_t>(footer.weight_rows * length);
  uint32_t previous = 0;
  for (uint64_t row = 0; row < n; ++row) {
    if (shard.start_ends_[row] < previous || shard.start_ends_[row] > footer.starts)
      return DamagedError(path, absl::StrCat("the document starts of sequence ", row, " are out of bounds"));
    previous = shard.start_ends_[row];
    if (shard.weight_rows_[row] != kAllOnes && shard.weight_rows_[row] >= footer.weight_rows)
      return DamagedError(path, absl::StrCat("the loss weights of sequence ", row, " are out of bounds"));
  }
  return shard;
}

Sequence Shard::sequence(int64_t row) const {
  MILLRACE_CHECK(row >= 0 && row < num_sequences_);
  const uint32_t first_start = row == 0 ? 0 : start_ends_[row - 1];
  Sequence sequence;
  sequence.ids = ids_.subspan(row * (sequence_length_ + 1), sequence_length_ + 1);
  sequence.document_starts = starts_.subspan(first_start, start_ends_[row] - first_start);
  if (weight_rows_[row] != kAllOnes)
    sequence.loss_weights = weights_.subspan(int64_t{weight_rows_[row]} * sequence_length_, sequence_length_);
  sequence.source = sources_[row];
  return sequence;
}

absl::StatusOr<ShardSet> ShardSet::Open(const std::string& folder) {
  ShardSet set;
  set.folder_ = folder;
  ASSIGN_OR_RETURN(set.manifest_, ReadShardManifest(folder, ShardManifest::Kind::kTrain));
  ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(folder, "manifest.json")));
  set.digest_ = Sha256Of(text);
  int64_t rows = 0;
  for (const ShardManifest::File& file : set.manifest_.files) {
    const std::string path = JoinPath(folder, file.name);
    ASSIGN_OR_RETURN(Shard shard, Shard::Open(path));
    if (shard.sequence_length() != set.manifest_.sequence_length || shard.num_sequences() != file.entries ||
        shard.vocab_size() != set.manifest_.vocab_size) {
      return DamagedError(
          path, absl::StrCat("it has ", shard.num_sequences(), " sequences of ", shard.sequence_length(),
                             ", but manifest.json says ", file.entries, " of ", set.manifest_.sequence_length));
    }
    set.first_rows_.push_back(rows);
    rows += shard.num_sequences();
    set.shards_.push_back(std::move(shard));
  }
  if (rows != set.manifest_.sequences) {
    return DamagedError(
        folder, absl::StrCat("the shards have ", rows, " sequences, but manifest.json says ", set.manifest_.sequences));
  }
  return set;
}

std::pair<const Shard*, int64_t> ShardSet::Find(int64_t row) const {
  const auto after = std::upper_bound(first_rows_.begin(), first_rows_.end(), row);
  const int64_t index = after - first_rows_.begin() - 1;
  return {&shards_[index], row - first_rows_[index]};
}

uint16_t ShardSet::source(int64_t row) const {
  MILLRACE_CHECK(row >= 0 && row < num_sequences());
  const auto [shard, local] = Find(row);
  return shard->source(local);
}

absl::StatusOr<Sequence> ShardSet::Read(int64_t row) const {
  if (row < 0 || row >= num_sequences())
    return absl::OutOfRangeError(absl::StrCat(folder_, " has ", num_sequences(), " sequences, none is number ", row));
  const auto [shard, local] = Find(row);
  const Sequence sequence = shard->sequence(local);
  const uint32_t largest = *std::max_element(sequence.ids.begin(), sequence.ids.end());
  if (largest >= manifest_.vocab_size) {
    return DamagedError(folder_, absl::StrCat("sequence ", row, " has id ", largest, ", but the vocabulary has ",
                                              manifest_.vocab_size));
  }
  int64_t previous = -1;
  for (const uint32_t start : sequence.document_starts) {
    if (start <= previous || start >= sequence_length())
      return DamagedError(folder_,
                          absl::StrCat("sequence ", row, " has a document start at ", start, ", out of order"));
    previous = start;
  }
  return sequence;
}

// The shard that is being written.
struct ShardSetWriter::Open {
  FileWriter file;
  std::string name;
  int64_t sequences = 0;  // that it will have
  Sha256 hash = {};
  int64_t size_bytes = 0;
  std::vector<uint16_t> sources = {};
  std::vector<uint32_t> start_ends = {};
  std::vector<uint32_t> starts = {};
  std::vector<uint32_t> weight_rows = {};
  std::vector<uint8_t> weights = {};

  void Write(absl::string_view bytes) {
    file.Append(bytes);
    hash.Update(bytes);
    size_bytes += bytes.size();
  }
  void Align() { Write(absl::string_view("\0\0\0\0\0\0\0", RoundUp8(size_bytes) - size_bytes)); }
  template <typename T>
  void WriteColumn(const std::vector<T>& values) {
    Write(AsBytes(absl::MakeConstSpan(values)));
    Align();
  }
};

ShardSetWriter::ShardSetWriter(std::string folder, ShardManifest info, int64_t num_sequences, int64_t shard_size_bytes)
    : folder_(std::move(folder)), manifest_(std::move(info)), num_sequences_(num_sequences) {
  manifest_.kind = ShardManifest::Kind::kTrain;
  const int64_t ids_bytes = 4 * (manifest_.sequence_length + 1);
  // Indices into a shard's columns are 32 bits.
  const int64_t most_bytes = std::min<int64_t>(shard_size_bytes, int64_t{1} << 34);
  sequences_per_shard_ =
      std::max<int64_t>(1, (most_bytes - int64_t{sizeof(Header) + sizeof(Footer)}) / (ids_bytes + 10));
}

ShardSetWriter::~ShardSetWriter() = default;

absl::Status ShardSetWriter::Begin() {
  const std::string name = absl::StrFormat("shard-%05d.bin", manifest_.files.size());
  ASSIGN_OR_RETURN(FileWriter file, FileWriter::Create(JoinPath(folder_, name)));
  open_.reset(new Open{std::move(file), name, std::min(sequences_per_shard_, num_sequences_ - manifest_.sequences)});
  Header header = {};
  std::memcpy(header.magic, kMagic.data(), kMagic.size());
  header.version = kVersion;
  header.sequence_length = manifest_.sequence_length;
  header.sequences = open_->sequences;
  header.vocab_size = manifest_.vocab_size;
  header.eos_id = manifest_.eos_id;
  header.flags = manifest_.attend_across_documents ? kAttendAcross : 0;
  open_->Write({reinterpret_cast<const char*>(&header), sizeof(header)});
  return absl::OkStatus();
}

absl::Status ShardSetWriter::End() {
  open_->Align();
  open_->WriteColumn(open_->sources);
  open_->WriteColumn(open_->start_ends);
  open_->WriteColumn(open_->starts);
  open_->WriteColumn(open_->weight_rows);
  open_->WriteColumn(open_->weights);
  Footer footer = {};
  footer.starts = open_->starts.size();
  footer.weight_rows = open_->weights.size() / manifest_.sequence_length;
  std::memcpy(footer.magic, kEndMagic.data(), kEndMagic.size());
  open_->Write({reinterpret_cast<const char*>(&footer), sizeof(footer)});
  RETURN_IF_ERROR(open_->file.Close());
  manifest_.files.push_back({open_->name, open_->sequences, open_->size_bytes, HexOf(open_->hash.Finish())});
  open_.reset();
  return absl::OkStatus();
}

ShardManifest::Source& ShardSetWriter::SourceOf(uint32_t source) {
  auto it = std::lower_bound(manifest_.sources.begin(), manifest_.sources.end(), source,
                             [](const ShardManifest::Source& s, uint32_t ordinal) { return s.source < ordinal; });
  if (it == manifest_.sources.end() || it->source != source)
    it = manifest_.sources.insert(it, ShardManifest::Source{.source = source});
  return *it;
}

absl::Status ShardSetWriter::Append(const Sequence& sequence) {
  MILLRACE_CHECK(static_cast<int64_t>(sequence.ids.size()) == manifest_.sequence_length + 1);
  MILLRACE_CHECK(manifest_.sequences < num_sequences_);
  if (open_ == nullptr) RETURN_IF_ERROR(Begin());
  open_->Write(AsBytes(sequence.ids));
  open_->sources.push_back(sequence.source);
  open_->starts.insert(open_->starts.end(), sequence.document_starts.begin(), sequence.document_starts.end());
  open_->start_ends.push_back(open_->starts.size());
  const int64_t padding = std::count(sequence.loss_weights.begin(), sequence.loss_weights.end(), 0);
  if (padding == 0) {
    open_->weight_rows.push_back(kAllOnes);
  } else {
    open_->weight_rows.push_back(open_->weights.size() / manifest_.sequence_length);
    open_->weights.insert(open_->weights.end(), sequence.loss_weights.begin(), sequence.loss_weights.end());
  }
  const int64_t tokens = manifest_.sequence_length - padding;
  ShardManifest::Source& source = SourceOf(sequence.source);
  source.sequences += 1;
  source.tokens += tokens;
  manifest_.sequences += 1;
  manifest_.tokens += tokens;
  manifest_.padding_tokens += padding;
  if (static_cast<int64_t>(open_->sources.size()) == open_->sequences) return End();
  return absl::OkStatus();
}

void ShardSetWriter::CountDocuments(uint32_t source, int64_t documents) {
  if (documents == 0) return;
  SourceOf(source).documents += documents;
  manifest_.documents += documents;
}

absl::Status ShardSetWriter::Close() {
  MILLRACE_CHECK(manifest_.sequences == num_sequences_ && open_ == nullptr);
  return WriteFile(JoinPath(folder_, "manifest.json"), ToJson(manifest_));
}

}  // namespace millrace::data
