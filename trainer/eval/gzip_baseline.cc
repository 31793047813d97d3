#include "trainer/eval/gzip_baseline.h"

#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/parallel.h"
#include "base/sha256.h"

namespace millrace::trainer {

struct DeflateCounter::Stream {
  z_stream z = {};
  int64_t size_bytes = 0;
};

DeflateCounter::DeflateCounter() : stream_(std::make_unique<Stream>()) {
  constexpr int kRawWindowBits = -15, kMemoryLevel = 8;  // negative: no header and trailer
  MILLRACE_CHECK(deflateInit2(&stream_->z, Z_BEST_COMPRESSION, Z_DEFLATED, kRawWindowBits, kMemoryLevel,
                              Z_DEFAULT_STRATEGY) == Z_OK);
}

DeflateCounter::~DeflateCounter() { deflateEnd(&stream_->z); }

void DeflateCounter::Run(absl::string_view bytes, int flush) {
  Bytef out[16384];
  z_stream& z = stream_->z;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  do {
    z.next_out = out;
    z.avail_out = sizeof(out);
    deflate(&z, flush);
    stream_->size_bytes += sizeof(out) - z.avail_out;
  } while (z.avail_out == 0);
}

void DeflateCounter::Append(absl::string_view bytes) {
  constexpr size_t kMaxPiece = size_t{1} << 30;  // a z_stream counts in 32 bits
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kMaxPiece))) {
    Run(bytes.substr(0, kMaxPiece), Z_NO_FLUSH);
  }
}

int64_t DeflateCounter::Finish() {
  Run("", Z_FINISH);
  return stream_->size_bytes;
}

absl::StatusOr<GzipBySource> GzipBaseline(const data::HeldOutSet& documents, const data::Tokenizer& tokenizer,
                                          int threads) {
  const int64_t count = documents.num_documents();
  const auto text_of = [&](int64_t i) { return tokenizer.Decode(documents.document(i).ids); };

  std::vector<int64_t> deflated_bytes(count);
  std::atomic<int64_t> first_other = count;  // the first document whose text is another
  ParallelFor(threads, count, [&](int64_t i) {
    const std::string text = text_of(i);
    const data::HeldOutDocument document = documents.document(i);
    if (text.size() != document.text_bytes || Sha256Of(text) != document.text_sha256) {
      int64_t seen = first_other;
      while (i < seen && !first_other.compare_exchange_weak(seen, i)) continue;
      return;
    }
    DeflateCounter counter;
    counter.Append(text);
    deflated_bytes[i] = counter.Finish();
  });
  if (first_other < count) {
    return absl::InvalidArgumentError(absl::StrCat("held-out document ", first_other.load(),
                                                   " decodes to another text than it was made from",
                                                   "\n  why: the tokenizer is not the one that made its ids",
                                                   "\n  fix: `tokenizer` and `likelihood.data` of the same tokenizer"));
  }

  GzipBySource result;
  for (int64_t i = 0; i < count; ++i) {
    const data::HeldOutDocument document = documents.document(i);
    for (GzipSize* size : {&result.all, &result.source[document.source]}) {
      size->bytes += static_cast<int64_t>(document.text_bytes);
      size->per_document_bytes += deflated_bytes[i];
    }
  }

  // Streams: all documents, then those of each source.
  std::vector<std::pair<GzipSize*, std::function<bool(uint32_t)>>> streams = {
      {&result.all, [](uint32_t) { return true; }}};
  for (auto& [source, size] : result.source)
    streams.emplace_back(&size, [wanted = source](uint32_t source) { return source == wanted; });
  ParallelFor(threads, streams.size(), [&](int64_t s) {
    DeflateCounter counter;
    for (int64_t i = 0; i < count; ++i) {
      if (streams[s].second(documents.document(i).source)) counter.Append(text_of(i));
    }
    streams[s].first->concatenated_bytes = counter.Finish();
  });
  return result;
}

}  // namespace millrace::trainer
