// Content-addressed storage: immutable blobs, named by the SHA-256 of their bytes, and trees of them.
//
//   <folder>/blobs/ab/<64 hex digits>   one file each, mode 0444
//   <folder>/small.log                  blobs of at most 4 KiB, end to end (record_log.h)
//   <folder>/tmp/                       blobs being written: renamed into place when whole
//   <folder>/lock                       shared by who publishes or looks up, exclusive to who collects garbage
//
// A name never stands for other bytes, also after kill -9. After a loss of power it may: entries tell (action_cache.h).
#ifndef MILLRACE_EXECUTOR_CAS_CAS_H_
#define MILLRACE_EXECUTOR_CAS_CAS_H_

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "executor/cas/digest.h"
#include "executor/cas/record_log.h"
#include "executor/cas/tree.h"

namespace millrace {

// Files whose digest is known by their inode: what was linked out of the storage.
using KnownInodes = absl::flat_hash_map<std::pair<dev_t, ino_t>, Digest>;

enum class MaterializeMode {
  kHardLink,  // the storage's own files: for programs that are known not to write to their inputs. Small blobs: copies
  kCopy,      // reflinks where the file system has them, else copies: for any program
};

struct PublishedTree {
  Digest digest;
  Tree tree;
};

// Thread-safe; several processes may use one folder.
class Cas {
 public:
  static absl::StatusOr<std::unique_ptr<Cas>> Open(const std::string& folder);
  ~Cas();

  // Garbage is not collected while one exists. Held while publishing (blobs and the entry that names them) and while
  // deciding on what is there; never for the length of a run.
  class Hold {
   public:
    explicit Hold(Cas& cas);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Cas& cas_;
  };

  bool Has(const Digest& digest);
  // NotFound: no such blob. DataLoss: the bytes do not match; the blob has been dropped.
  absl::StatusOr<std::string> Get(const Digest& digest);
  absl::StatusOr<Digest> Put(absl::string_view bytes);
  // For bytes that come from elsewhere: a path on the storage's file system to write to, while holding on (Hold); and
  // its file moved into place, once the caller has hashed it. Blobs that Put() would keep small are for Put().
  std::string TemporaryPath();
  absl::Status Adopt(const std::string& temporary, const Digest& digest);
  // Whether a blob of this size is kept end to end with others.
  static bool IsSmall(int64_t size_bytes);

  // Publishes the files below `folder`, which is on the storage's file system and which nobody writes to any more:
  // large ones are moved, so the folder is spent. A symbolic link stands for the file it points to, which stays.
  //   threads: hashing.  known: called once, if a file has several links or is a symbolic link.
  //   InvalidArgument: a link that points to nothing or to a folder, a socket or a device.  ResourceExhausted: disk
  //   full.
  absl::StatusOr<PublishedTree> PutTree(const std::string& folder, int threads,
                                        const std::function<KnownInodes()>& known = nullptr);
  absl::StatusOr<Tree> GetTree(const Digest& digest);
  // Whether the tree and all of its files are there. Drops a file that has not the size it should.
  bool HasTree(const Digest& digest);
  // Reads and checks all of a tree's bytes. DataLoss: something did not match and has been dropped. Cancelled: `stop`
  // went above 0.
  absl::Status VerifyTree(const Digest& digest, int threads, const std::atomic<int>* stop = nullptr);

  // Makes the folder `destination` hold the tree. NotFound: a blob is gone. Files that are there are not replaced.
  absl::Status Materialize(const Tree& tree, const std::string& destination, MaterializeMode mode);
  // The inodes of a tree's files in the storage.
  void AddKnownInodes(const Tree& tree, KnownInodes& known);

  // Where a blob of its own file is, or "".
  std::string BlobPath(const Digest& digest);
  const std::string& folder() const { return folder_; }

  // For gc.h, which holds the lock. Removes what is not in `live`; returns the bytes that were freed.
  absl::StatusOr<int64_t> Sweep(const absl::flat_hash_set<Digest>& live, bool dry_run);
  // Bytes of all blobs.
  absl::StatusOr<int64_t> TotalBytes();
  // Takes the lock for collecting; Unavailable if somebody holds on for longer than a minute. This process has no Hold.
  absl::Status LockExclusively();
  void UnlockExclusively();

 private:
  explicit Cas(std::string folder) : folder_(std::move(folder)) {}

  struct Small {
    int64_t offset = 0;
    int64_t size_bytes = 0;
  };
  struct ScannedFile;

  void Visit(const RecordLog::Record& record);
  absl::Status RefreshSmall();
  absl::optional<Small> FindSmall(const Digest& digest);
  void Drop(const Digest& digest);
  std::string FilePath(const Digest& digest) const;
  // `path`, whose digest is known, is moved or copied into place.
  absl::Status PutFileBlob(const std::string& path, bool move, const Digest& digest);
  absl::Status RenameIntoPlace(const std::string& from, const Digest& digest);
  absl::Status PutSmall(const std::vector<std::pair<Digest, std::string>>& blobs);
  absl::Status Scan(const std::string& folder, const std::string& relative, std::vector<ScannedFile>& files,
                    std::vector<std::string>& empty_folders);
  absl::Status PutScanned(const KnownInodes& known, ScannedFile& file);
  absl::Status WriteOut(const TreeFile& file, const std::string& path, MaterializeMode mode);

  const std::string folder_;
  std::unique_ptr<RecordLog> small_log_;
  std::shared_mutex mutex_;
  absl::flat_hash_map<Digest, Small> small_;
  std::mutex lock_mutex_;
  int lock_fd_ = -1;
  int num_holds_ = 0;
};

// Copies with FICLONE, else copy_file_range, else read and write; the mode of `to` is 0644 or 0755 less the umask.
absl::Status CloneFile(const std::string& from, const std::string& to, bool executable);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_CAS_H_
