#include "data/corpus/corpus_stage.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "data/corpus/document.h"
#include "data/corpus/hash_sample.h"
#include "data/corpus/raw_document.h"
#include "data/corpus/text_hash.h"
#include "data/corpus/unicode.h"

namespace millrace::data {
namespace {

constexpr int kReportedBad = 5;  // and as many files of each kind that deserves a word

enum Bad { kGood, kNotUtf8, kNotJson, kNoText, kNoId, kTooLong, kNumBad };
constexpr absl::string_view kBadNames[kNumBad] = {"", "not_utf8", "not_json", "no_text", "no_id", "too_long"};

struct Parsed {
  Document document;
  Bad bad = kGood;
  std::string why;
};

// What files that are not UTF-8 text begin with.
constexpr struct {
  absl::string_view magic, what, fix;
} kMagics[] = {
    {{"\xFF\xFE", 2}, "UTF-16", "iconv -f UTF-16 -t UTF-8"},
    {{"\xFE\xFF", 2}, "UTF-16", "iconv -f UTF-16 -t UTF-8"},
    {{"\x1F\x8B", 2}, "gzip", "name it .gz"},
    {{"\x28\xB5\x2F\xFD", 4}, "zstd", "name it .zst"},
    {{"\xFD"
      "7zXZ",
      5},
     "xz",
     "compress it as .gz or .zst"},
    {"BZh", "bzip2", "compress it as .gz or .zst"},
    {{"PK\x03\x04", 4}, "zip", "unpack it"},
    {"PAR1", "Parquet", "write it as JSON lines"},
    {"%PDF", "PDF", "take its text out"},
};

// ": byte 0xE9 at offset 3", or ": it looks like gzip; name it .gz" where `bytes` are the start of a file.
std::string WhyNotText(absl::string_view bytes, bool starts_file) {
  for (const auto& magic : kMagics) {
    if (starts_file && absl::StartsWith(bytes, magic.magic))
      return absl::StrCat(": it looks like ", magic.what, "; ", magic.fix);
  }
  const char* const end = bytes.data() + bytes.size();
  for (const char* p = bytes.data(); p != end;) {
    const char* const at = p;
    if (NextCodePoint(p, end) == 0xFFFD && p - at == 1)
      return absl::StrFormat(": byte 0x%02X at offset %d", static_cast<uint8_t>(*at), at - bytes.data());
  }
  return "";
}

// Takes documents out of raw bytes. Thread-safe.
class Parser {
 public:
  explicit Parser(const Corpus& parameters) : parameters_(parameters) {}

  void Parse(const RawFile& file, const RawBatch::Item& item, Parsed& out) const {
    out.bad = kGood;
    Document& document = out.document;
    document.language = parameters_.language();
    document.licence = parameters_.licence();
    if (item.too_long) {
      out.bad = kTooLong;
      out.why = absl::StrCat("the ", file.is_jsonl ? "line" : "file", " is longer than ",
                             FormatBytes(RawReader::kMaxDocumentBytes));
      return;
    }
    if (file.is_jsonl) {
      ParseLine(item, out);
      if (out.bad == kNotUtf8 || (out.bad == kNotJson && item.line == 1))
        out.why += WhyNotText(item.bytes, item.line == 1);
      if (parameters_.id_field().empty()) document.id = absl::StrCat(file.name, ":", item.line);
      return;
    }
    document.id = file.name;
    if (!simdjson::validate_utf8(item.bytes.data(), item.bytes.size())) {
      out.bad = kNotUtf8;
      out.why = absl::StrCat("the text is not UTF-8", WhyNotText(item.bytes, /*starts_file=*/true));
      return;
    }
    document.text.assign(item.bytes.data(), item.bytes.size());
  }

 private:
  static void SetNotJson(simdjson::error_code error, Parsed& out) {
    out.bad = error == simdjson::UTF8_ERROR ? kNotUtf8 : kNotJson;
    out.why = out.bad == kNotUtf8 ? "the line is not UTF-8" : "the line is not a JSON object";
    if (out.bad == kNotJson && error != simdjson::INCORRECT_TYPE)
      absl::StrAppend(&out.why, ": ", simdjson::error_message(error));
  }

  // ", but "a", "b"": the first few fields of a line that is a JSON object.
  static std::string FieldsOf(const RawBatch::Item& item) {
    simdjson::ondemand::parser parser;
    simdjson::ondemand::document line;
    simdjson::ondemand::object object;
    std::string fields;
    if (parser.iterate(item.bytes.data(), item.bytes.size(), item.bytes.size() + simdjson::SIMDJSON_PADDING)
            .get(line) ||
        line.get_object().get(object)) {
      return fields;
    }
    for (auto field : object) {
      std::string_view key;
      if (field.unescaped_key().get(key)) break;
      if (fields.size() > 60) return fields + ", ...";
      absl::StrAppend(&fields, fields.empty() ? ", but \"" : ", \"", absl::string_view(key.data(), key.size()), "\"");
    }
    return fields;
  }

  void ParseLine(const RawBatch::Item& item, Parsed& out) const {
    thread_local simdjson::ondemand::parser parser;
    simdjson::ondemand::document line;
    simdjson::ondemand::object object;
    simdjson::error_code error =
        parser.iterate(item.bytes.data(), item.bytes.size(), item.bytes.size() + simdjson::SIMDJSON_PADDING).get(line);
    if (!error) error = line.get_object().get(object);
    if (error) return SetNotJson(error, out);
    bool has_text = false, has_id = parameters_.id_field().empty();
    for (auto field : object) {
      std::string_view key;
      if ((error = field.unescaped_key().get(key))) return SetNotJson(error, out);
      // `key` lives in the parser's buffer until the next string; these are all comparisons with it.
      const bool is_text = key == parameters_.text_field(), is_id = !has_id && key == parameters_.id_field();
      const bool is_language = key == "language";
      if (!is_text && !is_id && !is_language) continue;
      simdjson::ondemand::value value;
      if ((error = field.value().get(value))) return SetNotJson(error, out);
      simdjson::ondemand::json_type type;
      if ((error = value.type().get(type))) return SetNotJson(error, out);
      if (type == simdjson::ondemand::json_type::string) {
        std::string_view string;
        if ((error = value.get_string().get(string))) return SetNotJson(error, out);
        if (is_text) {
          out.document.text.assign(string.data(), string.size());
          has_text = true;
        }
        if (is_id) {
          out.document.id.assign(string.data(), string.size());
          has_id = true;
        }
        if (is_language && !string.empty()) out.document.language.assign(string.data(), string.size());
      } else if (is_id && type == simdjson::ondemand::json_type::number) {
        int64_t number;
        if (value.get_int64().get(number)) continue;
        out.document.id = absl::StrCat(number);
        has_id = true;
      }
    }
    const char* rest;
    if (line.current_location().get(rest) != simdjson::OUT_OF_BOUNDS) {
      out.bad = kNotJson;
      out.why = "something follows the JSON object on the line";
    } else if (!has_text) {
      out.bad = kNoText;
      out.why = absl::StrCat("the line has no string \"", parameters_.text_field(), "\"", FieldsOf(item));
    } else if (!has_id) {
      out.bad = kNoId;
      out.why = absl::StrCat("the line has no string or integer \"", parameters_.id_field(), "\"", FieldsOf(item));
    }
  }

  const Corpus& parameters_;
};

std::vector<RawFile> RawFilesOf(const std::vector<std::string>& names, const std::string& folder,
                                Corpus::Format format) {
  std::vector<RawFile> files;
  for (const std::string& name : names) {
    const bool is_jsonl =
        format == Corpus::AUTO ? absl::EndsWith(WithoutCompressionSuffix(name), ".jsonl") : format == Corpus::JSONL;
    files.push_back({name, JoinPath(folder, name), is_jsonl});
  }
  return files;
}

// The sampling hash of a text.
uint64_t SampleHashOf(uint64_t seed, absl::string_view text) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(seed >> 8 * i);
  return TextHashOf(absl::string_view(bytes, 8), text).high;
}

class CorpusReader {
 public:
  CorpusReader(Stage& stage, const Corpus& parameters, std::vector<RawFile> files)
      : stage_(stage), parameters_(parameters), parser_(parameters), files_(std::move(files)) {}

  absl::Status Run() {
    for (const RawFile& file : files_) {
      ASSIGN_OR_RETURN(const int64_t size, FileSize(file.path));
      file_bytes_ += size;
    }
    ASSIGN_OR_RETURN(const std::string out, stage_.OutputPath("documents"));
    DocumentWriter writer(out);
    if (!parameters_.has_take()) {
      RETURN_IF_ERROR(Pass<std::string>(
          0, 1,
          [](const Document& document, std::string& line) {
            line.clear();
            AppendDocumentLine(document, line);
          },
          [&](Parsed& parsed, const std::string& line) {
            return writer.WriteLine(line, parsed.document.text.size());
          }));
      RETURN_IF_ERROR(CheckBad());
    } else {
      ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(parameters_.take()));
      HashSample<uint64_t> sample(bytes);
      int64_t ordinal = 0;
      RETURN_IF_ERROR(Pass<uint64_t>(
          0, 2, [&](const Document& document, uint64_t& hash) { hash = SampleHashOf(stage_.seed(), document.text); },
          [&](Parsed& parsed, uint64_t hash) {
            sample.Add(hash, ordinal++, parsed.document.text.size());
            return absl::OkStatus();
          }));
      RETURN_IF_ERROR(CheckBad());
      const std::vector<int64_t> ordinals = sample.Take();
      size_t next = 0;
      ordinal = 0;
      RETURN_IF_ERROR(Pass<char>(
          1, 2, [](const Document&, char&) {},
          [&](Parsed& parsed, char) {
            if (next == ordinals.size() || ordinals[next] != ordinal++) return absl::OkStatus();
            ++next;
            return writer.Write(parsed.document);
          }));
    }
    RETURN_IF_ERROR(writer.Close(/*sources=*/1));
    WarnOfFiles();
    ReportMetrics(writer);
    return absl::OkStatus();
  }

 private:
  // Reads everything once: `map` for each good document on several threads, `reduce` in order. Bad ones are counted in
  // the first pass.
  template <typename Result>
  absl::Status Pass(int pass, int passes, const std::function<void(const Document&, Result&)>& map,
                    const std::function<absl::Status(Parsed&, Result&)>& reduce) {
    constexpr int64_t kChunk = 16;
    RawReader reader(files_);
    RawBatch batch;
    std::vector<Parsed> parsed;
    std::vector<Result> results;
    while (true) {
      ASSIGN_OR_RETURN(const bool more, reader.NextBatch(batch));
      if (!more) return absl::OkStatus();
      if (Stage::Interrupted()) return absl::CancelledError("interrupted");
      const int64_t count = batch.items.size();
      if (parsed.size() < count) parsed.resize(count);
      if (results.size() < count) results.resize(count);
      ParallelFor(stage_.threads(), (count + kChunk - 1) / kChunk, [&](int64_t chunk) {
        for (int64_t i = chunk * kChunk; i < std::min(count, (chunk + 1) * kChunk); ++i) {
          parser_.Parse(files_[batch.items[i].file], batch.items[i], parsed[i]);
          if (parsed[i].bad == kGood) map(parsed[i].document, results[i]);
        }
      });
      for (int64_t i = 0; i < count; ++i) {
        has_documents_[batch.items[i].file] = true;
        if (parsed[i].bad != kGood) {
          if (pass == 0) CountBad(batch.items[i], parsed[i]);
          continue;
        }
        if (pass == 0) {
          ++documents_read_;
          bytes_read_ += parsed[i].document.text.size();
        }
        RETURN_IF_ERROR(reduce(parsed[i], results[i]));
      }
      stage_.ReportProgress(pass * static_cast<double>(file_bytes_) + reader.file_bytes_read(),
                            static_cast<double>(passes) * file_bytes_, "bytes");
    }
  }

  void CountBad(const RawBatch::Item& item, const Parsed& parsed) {
    ++bad_[parsed.bad];
    if (++documents_bad_ > kReportedBad) return;
    std::string where = files_[item.file].name;
    if (item.line > 0) absl::StrAppend(&where, ":", item.line);
    const std::string message = absl::StrCat(where, ": ", parsed.why);
    if (documents_bad_ == 1) first_bad_ = message;
    stage_.ReportWarning(message);
  }

  absl::Status CheckBad() const {
    const int64_t all = documents_read_ + documents_bad_;
    if (documents_bad_ == 0 || documents_bad_ <= parameters_.max_bad_fraction() * all) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrFormat(
        "%d of %d documents are bad (%.3g), and max_bad_fraction is %g\n  first: %s\n"
        "  fix: correct the files, set text_field or format to what they have, or raise max_bad_fraction",
        documents_bad_, all, static_cast<double>(documents_bad_) / all, parameters_.max_bad_fraction(), first_bad_));
  }

  // What is allowed, but seldom meant.
  void WarnOfFiles() {
    std::vector<std::string> empty, json;
    for (size_t i = 0; i < files_.size(); ++i) {
      if (!has_documents_[i]) empty.push_back(files_[i].name);
      const absl::string_view name = WithoutCompressionSuffix(files_[i].name);
      const bool json_name = absl::EndsWith(name, ".ndjson") || absl::EndsWith(name, ".jl") ||
                             absl::EndsWith(name, ".jsonlines") || absl::EndsWith(name, ".json");
      if (parameters_.format() == Corpus::AUTO && json_name) json.push_back(files_[i].name);
    }
    files_empty_ = empty.size();
    if (!empty.empty())
      stage_.ReportWarning(absl::StrCat("JSONL files without a document: ", ShortList(std::move(empty))));
    if (!json.empty()) {
      stage_.ReportWarning(absl::StrCat("read as one document each: ", ShortList(std::move(json)),
                                        "\n  why: without a `format` only .jsonl means a document a line"
                                        "\n  fix: format: JSONL, or format: PLAIN_TEXT if that is meant"));
    }
  }
  static std::string ShortList(std::vector<std::string> names) {
    const size_t count = names.size();
    if (count > kReportedBad) names.resize(kReportedBad);
    return absl::StrCat(absl::StrJoin(names, ", "),
                        count > names.size() ? absl::StrCat(" and ", count - names.size(), " more") : "");
  }

  void ReportMetrics(const DocumentWriter& writer) const {
    stage_.ReportMetric("files", files_.size());
    stage_.ReportMetric("files_empty", files_empty_);
    stage_.ReportMetric("documents_read", documents_read_);
    stage_.ReportMetric("bytes_read", bytes_read_);
    stage_.ReportMetric("documents_bad", documents_bad_);
    for (int bad = 1; bad < kNumBad; ++bad)
      stage_.ReportMetric(absl::StrCat("documents_bad.", kBadNames[bad]), bad_[bad]);
    stage_.ReportMetric("documents", writer.documents());
    stage_.ReportMetric("bytes", writer.text_bytes());
  }

  Stage& stage_;
  const Corpus& parameters_;
  const Parser parser_;
  const std::vector<RawFile> files_;
  int64_t file_bytes_ = 0;
  int64_t documents_read_ = 0, bytes_read_ = 0, documents_bad_ = 0;
  std::array<int64_t, kNumBad> bad_ = {};
  std::string first_bad_;
  std::vector<bool> has_documents_ = std::vector<bool>(files_.size());  // by file; bad ones count, too
  int64_t files_empty_ = 0;
};

}  // namespace

absl::Status RunCorpus(Stage& stage, const Corpus& parameters) {
  ASSIGN_OR_RETURN(const std::string folder, stage.InputPath("files"));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFiles(folder));
  if (names.empty())
    return absl::InvalidArgumentError("there is no file to read\n  fix: a `glob` that matches something");
  return CorpusReader(stage, parameters, RawFilesOf(names, folder, parameters.format())).Run();
}

}  // namespace millrace::data
