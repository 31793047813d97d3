// One POSIX shared memory object for each allocation, with a part for each rank. To sum, rank r adds up slice r of all
// parts and writes the result into all of them; before and after, all ranks meet in a collective of `inner`.
#include "trainer/comm/shared_memory_comm.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kPageBytes = 4096;
constexpr size_t kMinElements = 2048;  // below, the inner comm is as quick
constexpr size_t kSliceElements = 16;  // slices begin at multiples of this: no two ranks write to one cache line

// A mapping of all ranks' parts.
struct Segment {
  char* memory = nullptr;
  int64_t part_bytes = 0;
  int64_t bytes = 0;
};

class SharedMemoryComm : public Comm {
 public:
  explicit SharedMemoryComm(std::unique_ptr<Comm> inner) : inner_(std::move(inner)) {}
  ~SharedMemoryComm() override {
    for (const Segment& segment : segments_) ::munmap(segment.memory, segment.bytes);
  }

  int rank() const override { return inner_->rank(); }
  int world_size() const override { return inner_->world_size(); }

  absl::Status AllReduceSum(absl::Span<int64_t> values, absl::string_view what) override {
    return Reduce(values, what);
  }
  absl::Status AllReduceSum(absl::Span<float> values, absl::string_view what) override { return Reduce(values, what); }
  absl::Status AllGather(absl::Span<const uint8_t> mine, absl::Span<uint8_t> all, absl::string_view what) override {
    return inner_->AllGather(mine, all, what);
  }
  absl::Status Broadcast(absl::Span<uint8_t> bytes, int root, absl::string_view what) override {
    return inner_->Broadcast(bytes, root, what);
  }
  absl::Status Barrier(absl::string_view what) override { return inner_->Barrier(what); }

  absl::StatusOr<void*> Allocate(int64_t size_bytes) override {
    uint64_t token = (uint64_t{std::random_device()()} << 32) | std::random_device()();
    RETURN_IF_ERROR(inner_->Broadcast(absl::MakeSpan(reinterpret_cast<uint8_t*>(&token), sizeof(token)), 0, "a token"));
    const std::string name = absl::StrCat("/millrace-", absl::Hex(token, absl::kZeroPad16));
    Segment segment;
    segment.part_bytes = std::max<int64_t>(1, (size_bytes + kPageBytes - 1) / kPageBytes) * kPageBytes;
    segment.bytes = segment.part_bytes * world_size();
    if (rank() == 0) segment.memory = Map(name, O_CREAT | O_EXCL, segment.bytes);
    absl::Status status = inner_->Barrier("shared memory");
    if (status.ok() && rank() != 0) segment.memory = Map(name, 0, segment.bytes);
    std::vector<int64_t> mapped = {segment.memory != nullptr};
    if (status.ok()) status = inner_->AllReduceSum(absl::MakeSpan(mapped), "who maps the shared memory");
    if (rank() == 0) ::shm_unlink(name.c_str());
    if (status.ok() && mapped[0] == world_size()) {
      segments_.push_back(segment);
      return segment.memory + rank() * segment.part_bytes;
    }
    if (segment.memory != nullptr) ::munmap(segment.memory, segment.bytes);
    RETURN_IF_ERROR(status);
    return inner_->Allocate(size_bytes);
  }

 private:
  static bool HasRoom(int fd, int64_t bytes) {
    struct statvfs room = {};
    return ::fstatvfs(fd, &room) == 0 && static_cast<double>(room.f_bavail) * room.f_frsize > bytes;
  }

  static char* Map(const std::string& name, int flags, int64_t bytes) {
    const int fd = ::shm_open(name.c_str(), O_RDWR | O_CLOEXEC | flags, 0600);
    if (fd < 0) return nullptr;
    // All of it now: memory that runs out later would be a SIGBUS.
    void* memory = MAP_FAILED;
    if ((flags & O_CREAT) == 0 || (HasRoom(fd, bytes) && ::posix_fallocate(fd, 0, bytes) == 0))
      memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
  }

  // The segment whose own part holds all of the values; null: none.
  const Segment* Find(const void* first, size_t bytes) const {
    for (const Segment& segment : segments_) {
      const char* part = segment.memory + rank() * segment.part_bytes;
      const char* from = static_cast<const char*>(first);
      if (from >= part && from + bytes <= part + segment.part_bytes) return &segment;
    }
    return nullptr;
  }

  template <typename T>
  absl::Status Reduce(absl::Span<T> values, absl::string_view what) {
    const Segment* segment = values.size() < kMinElements ? nullptr : Find(values.data(), values.size() * sizeof(T));
    if (segment == nullptr) return inner_->AllReduceSum(values, what);
    RETURN_IF_ERROR(Meet(what));
    const int64_t offset = reinterpret_cast<char*>(values.data()) - (segment->memory + rank() * segment->part_bytes);
    std::vector<T*> parts;
    for (int r = 0; r < world_size(); ++r)
      parts.push_back(reinterpret_cast<T*>(segment->memory + r * segment->part_bytes + offset));
    const size_t slices = (values.size() + kSliceElements - 1) / kSliceElements;
    const size_t first = slices * rank() / world_size() * kSliceElements;
    const size_t last = std::min(values.size(), slices * (rank() + 1) / world_size() * kSliceElements);
    for (size_t begin = first; begin < last; begin += kBlock) SumBlock(parts, begin, std::min(last, begin + kBlock));
    return Meet(what);
  }

  // A block at a time stays in the cache while all parts are added and written.
  template <typename T>
  static void SumBlock(const std::vector<T*>& parts, size_t begin, size_t end) {
    T sum[kBlock];
    std::copy(parts[0] + begin, parts[0] + end, sum);
    for (size_t r = 1; r < parts.size(); ++r) {
      for (size_t i = begin; i < end; ++i) sum[i - begin] += parts[r][i];
    }
    for (T* part : parts) std::copy(sum, sum + (end - begin), part + begin);
  }

  // What was written to shared memory before is seen by all ranks after.
  absl::Status Meet(absl::string_view what) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    int64_t here = 1;
    const absl::Status status = inner_->AllReduceSum(absl::MakeSpan(&here, 1), what);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return status;
  }

  static constexpr size_t kBlock = 1024;

  const std::unique_ptr<Comm> inner_;
  std::vector<Segment> segments_;
};

}  // namespace

std::unique_ptr<Comm> NewSharedMemoryComm(std::unique_ptr<Comm> inner) {
  return std::make_unique<SharedMemoryComm>(std::move(inner));
}

}  // namespace millrace::trainer
