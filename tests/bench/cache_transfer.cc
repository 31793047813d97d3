// For cache_rate.py: `put URL HOME FILES MIB` makes a tree of random files in a new home and sends it, `get URL HOME
// TREE` fetches it into another. Prints the seconds of the transfer, and the tree.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/time/clock.h"
#include "base/file.h"
#include "executor/cas/action_cache.h"
#include "executor/cas/remote/http_cache.h"
#include "executor/cas/remote/remote_store.h"
#include "executor/cas/remote/uploader.h"

namespace millrace {
namespace {

// Bytes that do not repeat; a cache that compresses gains nothing.
std::string Bytes(size_t count, uint64_t seed) {
  std::string bytes(count, '\0');
  uint64_t x = seed * 0x9e3779b97f4a7c15 + 1;
  for (size_t i = 0; i + 8 <= count; i += 8) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    std::memcpy(&bytes[i], &x, 8);
  }
  return bytes;
}

int Main(int argc, char** argv) {
  if (argc < 5) return 2;
  const std::string verb = argv[1], home = argv[3];
  const std::unique_ptr<Cas> cas = *Cas::Open(home);
  const std::unique_ptr<ActionCache> cache = *ActionCache::Open(*cas, "boot");
  std::vector<std::unique_ptr<RemoteCache>> caches;
  HttpCacheConfig config;
  config.url = argv[2];
  caches.push_back(*MakeHttpCache(config));
  RemoteStore remotes(std::move(caches), *cas);
  if (verb == "get") {
    const absl::StatusOr<FetchedBytes> fetched = remotes.FetchTrees({*Digest::ParseHex(argv[4])}, {});
    if (!fetched.ok()) return 1;
    std::printf("%.4f\n", fetched->seconds);
    return 0;
  }
  const std::string out = home + "/out";
  if (!CreateDirectories(out).ok()) return 1;
  for (int i = 0; i < std::atoi(argv[4]); ++i) {
    const std::string bytes = Bytes(size_t{1} << 20, i + 1);
    std::string file;
    for (int m = 0; m < std::atoi(argv[5]); ++m) file += bytes;
    if (!WriteFile(out + "/" + std::to_string(i), file).ok()) return 1;
  }
  const PublishedTree published = *cas->PutTree(out, 2);
  ActionEntry entry;
  entry.add_output()->set_name("out");
  entry.mutable_output(0)->set_digest(published.digest.ToString());
  const Digest key = Digest::Of(home);
  if (!cache->Put(key, entry, "bench").ok()) return 1;
  const std::unique_ptr<Uploader> uploads = *Uploader::Open(remotes, *cache, home + "/uploads");
  const absl::Time started = absl::Now();
  uploads->AddEntry(key);
  while (!uploads->Wait(absl::Seconds(1))) {
  }
  std::printf("%.4f %s\n", absl::ToDoubleSeconds(absl::Now() - started), published.digest.Hex().c_str());
  for (const TreeFile& file : published.tree.files) std::printf("%s\n", file.digest.Hex().c_str());
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) { return millrace::Main(argc, argv); }
