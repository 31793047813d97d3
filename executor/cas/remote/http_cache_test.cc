#include "executor/cas/remote/http_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "executor/cas/remote/lying_cache.h"

namespace millrace {
namespace {

class HttpCacheTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = *MakeTempDirectory("http_cache"); }
  void TearDown() override {
    server_.Stop();
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }
  std::unique_ptr<RemoteCache> Cache(const std::string& mode, CredentialsSource credentials = {}) {
    HttpCacheConfig config;
    config.url = server_.Url(mode);
    config.credentials = std::move(credentials);
    config.in_pieces = true;
    config.client = {.connect_timeout = absl::Seconds(1), .stall_timeout = absl::Seconds(1)};
    return *MakeHttpCache(config);
  }
  static std::string Bytes(size_t count) {
    std::string bytes(count, '\0');
    uint32_t x = 1;
    for (char& c : bytes) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
    return bytes;
  }
  Digest Put(const std::string& bytes) {
    const Digest digest = Digest::Of(bytes);
    const BlobSource source = {.bytes = bytes, .size_bytes = static_cast<int64_t>(bytes.size())};
    EXPECT_TRUE(Cache("ok")->PutBlob(digest, source, {}).ok());
    return digest;
  }
  absl::StatusOr<std::string> Get(RemoteCache& cache, const Digest& digest, int64_t size_bytes,
                                  const TransferControl& control = {}) {
    const std::string path = folder_ + "/got";
    const absl::Status status = cache.GetBlob(digest, size_bytes, path, control);
    if (!status.ok()) {
      EXPECT_FALSE(FileExists(path));
      return status;
    }
    return ReadFile(path);
  }

  std::string folder_;
  LyingCache server_{*MakeTempDirectory("lying_cache")};
};

TEST_F(HttpCacheTest, WhatIsPutIsThereByItsDigest) {
  const std::string bytes = Bytes(300'000);
  const auto cache = Cache("ok");
  const Digest digest = Digest::Of(bytes);
  EXPECT_EQ(cache->HasBlob(digest, 300'000).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Get(*cache, digest, 300'000).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(WriteFile(folder_ + "/file", bytes).ok());
  EXPECT_TRUE(cache->PutBlob(digest, {.path = folder_ + "/file", .size_bytes = 300'000}, {}).ok());
  EXPECT_TRUE(cache->HasBlob(digest, 300'000).ok());
  EXPECT_EQ(cache->HasBlob(digest, 300'001).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(*Get(*cache, digest, 300'000), bytes);
  EXPECT_EQ(*cache->GetBytes(digest, 1 << 20), bytes);
  EXPECT_EQ(cache->GetBytes(digest, 1000).status().code(), absl::StatusCode::kDataLoss);
  const Digest empty = Put("");
  EXPECT_EQ(*cache->GetBytes(empty, 10), "");
  EXPECT_TRUE(cache->PutEntry(digest, "entry").ok());
  EXPECT_EQ(*cache->GetEntry(digest), "entry");
  // As caches want it: a length, no chunks, no hesitation.
  EXPECT_TRUE(absl::StrContains(server_.Log(), "Content-Length=300000"));
  EXPECT_FALSE(absl::StrContains(server_.Log(), "Expect="));
  EXPECT_FALSE(absl::StrContains(server_.Log(), "Transfer-Encoding="));
}

TEST_F(HttpCacheTest, NoWrongByte) {
  const Digest digest = Put(Bytes(100'000));
  for (const char* mode : {"truncate", "flip", "wrong"}) {
    EXPECT_EQ(Get(*Cache(mode), digest, 100'000).status().code(), absl::StatusCode::kDataLoss) << mode;
    EXPECT_EQ(Cache(mode)->GetBytes(digest, 1 << 20).status().code(), absl::StatusCode::kDataLoss) << mode;
  }
}

TEST_F(HttpCacheTest, GoesOnWhereATransferBrokeOff) {
  const std::string bytes = Bytes(200'000);
  const Digest digest = Put(bytes);
  std::atomic<int64_t> moved = 0;
  TransferControl control;
  control.moved_bytes = &moved;
  EXPECT_EQ(*Get(*Cache("noranges"), digest, 200'000), bytes);
  // Two thirds of what is left at a time: twelve tries would be needed to the last byte.
  EXPECT_EQ(Get(*Cache("die"), digest, 200'000, control).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(server_.Log(), "Range=bytes=133333-"));
  EXPECT_GT(moved, 199'000);
}

TEST_F(HttpCacheTest, LargeBlobsComeInPieces) {
  const std::string bytes = Bytes((128 << 20) + 12345);
  const int64_t size = static_cast<int64_t>(bytes.size());
  const Digest digest = Put(bytes);
  std::atomic<int64_t> moved = 0;
  TransferControl control;
  control.moved_bytes = &moved;
  EXPECT_TRUE(*Get(*Cache("ok"), digest, size, control) == bytes);
  EXPECT_EQ(moved, size);
  EXPECT_TRUE(absl::StrContains(server_.Log(), "Range=bytes=134217728-134230072"));
  EXPECT_EQ(Get(*Cache("flip"), digest, size).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Get(*Cache("truncate"), digest, size).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(HttpCacheTest, AFailureIsOfOneKindAndQuick) {
  const Digest digest = Put(Bytes(5000));
  const BlobSource source = {.bytes = Bytes(50'000'000), .size_bytes = 50'000'000};
  const Digest sent = Digest::Of(source.bytes);
  const absl::Time started = absl::Now();
  for (const char* mode : {"503", "closed", "hang"}) {
    const auto cache = Cache(mode);
    EXPECT_EQ(cache->GetEntry(digest).status().code(), absl::StatusCode::kUnavailable) << mode;
    EXPECT_EQ(cache->HasBlob(digest, 5000).code(), absl::StatusCode::kUnavailable) << mode;
  }
  EXPECT_EQ(Cache("401")->GetEntry(digest).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Cache("403")->PutBlob(sent, source, {}).code(), absl::StatusCode::kPermissionDenied);
  const absl::Status full = Cache("507")->PutBlob(sent, source, {});
  EXPECT_EQ(full.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(full.message(), "507 (full)"));
  EXPECT_EQ(Cache("503")->PutBlob(sent, source, {}).code(), absl::StatusCode::kUnavailable);
  HttpCacheConfig nobody;
  nobody.url = "http://127.0.0.1:1";
  EXPECT_EQ((*MakeHttpCache(nobody))->GetEntry(digest).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(absl::Now() - started, absl::Seconds(20));
}

TEST_F(HttpCacheTest, ASlowTransferEndsWhenItIsTold) {
  const Digest digest = Put(Bytes(1'000'000));
  TransferControl control;
  control.deadline = absl::Now() + absl::Milliseconds(500);
  EXPECT_EQ(Get(*Cache("slow"), digest, 1'000'000, control).status().code(), absl::StatusCode::kDeadlineExceeded);
  std::atomic<bool> cancelled = true;
  control = {};
  control.cancelled = &cancelled;
  EXPECT_EQ(Get(*Cache("slow"), digest, 1'000'000, control).status().code(), absl::StatusCode::kCancelled);
}

TEST_F(HttpCacheTest, CredentialsAreSentAndNotShown) {
  const Digest digest = Digest::Of("x");
  ::setenv("MILLRACE_TEST_CREDENTIALS", "user:secret", 1);
  Cache("ok", {.variable = "MILLRACE_TEST_CREDENTIALS"})->GetEntry(digest).IgnoreError();
  EXPECT_TRUE(absl::StrContains(server_.Log(), "Authorization=Basic_dXNlcjpzZWNyZXQ="));
  ASSERT_TRUE(WriteFile(folder_ + "/token", "t0ken\n").ok());
  Cache("ok", {.file = folder_ + "/token"})->GetEntry(digest).IgnoreError();
  EXPECT_TRUE(absl::StrContains(server_.Log(), "Authorization=Bearer_t0ken"));
  const absl::Status refused = Cache("401", {.variable = "MILLRACE_TEST_CREDENTIALS"})->GetEntry(digest).status();
  EXPECT_FALSE(absl::StrContains(refused.message(), "secret"));
  const absl::Status unset = Cache("ok", {.variable = "MILLRACE_NOT_SET"})->GetEntry(digest).status();
  EXPECT_EQ(unset.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(unset.message(), "MILLRACE_NOT_SET"));
  const absl::Status in_url = MakeHttpCache({.url = "https://user:secret@host/x"}).status();
  EXPECT_EQ(in_url.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(absl::StrContains(in_url.message(), "secret@"));
}

TEST_F(HttpCacheTest, UrlsAreChecked) {
  for (const char* url : {"", "host", "ftp://host", "http://", "http://host/?x=1", "http:///x"})
    EXPECT_EQ(MakeHttpCache({.url = url}).status().code(), absl::StatusCode::kInvalidArgument) << url;
  EXPECT_EQ((*MakeHttpCache({.url = "http://host:80/a//"}))->name(), "http://host:80/a");
}

}  // namespace
}  // namespace millrace
