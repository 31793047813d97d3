#include "executor/backends/agent_transfer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "executor/backends/digest_bytes.h"
#include "executor/backends/frame.h"

namespace millrace {
namespace {

// Replies that are waited for while more is sent.
constexpr size_t kOpenPipes = 256;

absl::Status HasChanged(absl::string_view path) {
  return absl::DataLossError(absl::StrCat(path, " changed while it was sent\n  why: somebody writes to it"));
}

absl::Status SendBlob(AgentClient::Pipe& pipe, const Digest& digest, const BlobSources::Source& source,
                      int64_t offset) {
  ToAgent message;
  BlobPiece& piece = *message.mutable_blob();
  piece.set_digest(BytesOf(digest));
  piece.set_size_bytes(source.size_bytes);
  const int fd = source.path.empty() ? -1 : ::open(source.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && !source.path.empty()) return ErrnoError(errno, "open", source.path);
  absl::Status status;
  if (offset > source.size_bytes) offset = 0;
  do {
    std::string& data = *piece.mutable_data();
    if (fd < 0) {
      data = source.content.substr(offset, kBlobPieceBytes);
    } else {
      data.resize(kBlobPieceBytes);
      const ssize_t n = ::pread(fd, data.data(), data.size(), offset);
      if (n < 0 && errno == EINTR) continue;
      data.resize(n < 0 ? 0 : n);
      if (n < 0) status = ErrnoError(errno, "read", source.path);
      if (n == 0 && offset < source.size_bytes) status = HasChanged(source.path);
      if (!status.ok()) break;
    }
    piece.set_offset(offset);
    offset += static_cast<int64_t>(data.size());
    if (!pipe.Send(message)) break;  // Wait() says why
  } while (offset < source.size_bytes);
  if (fd >= 0) ::close(fd);
  return status;
}

// Writes pieces that come in order to the files of a tree.
class TreeWriter {
 public:
  TreeWriter(std::vector<TreeFile> files, std::string destination)
      : files_(std::move(files)), destination_(std::move(destination)) {}
  ~TreeWriter() {
    if (fd_ >= 0) ::close(fd_);
  }

  bool done() const { return next_ == files_.size(); }
  FetchBlobs Rest() const {
    FetchBlobs rest;
    for (size_t i = next_; i < files_.size(); ++i) rest.add_digest(BytesOf(files_[i].digest));
    rest.set_offset(offset_);
    return rest;
  }

  absl::Status Take(const BlobPiece& piece) {
    if (done()) return absl::InternalError("more came than was asked for");
    const TreeFile& file = files_[next_];
    const std::string path = JoinPath(destination_, file.path);
    if (piece.digest() != BytesOf(file.digest) || piece.offset() != offset_)
      return absl::InternalError(absl::StrCat("something else came than ", path));
    if (fd_ < 0) {
      fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, file.executable ? 0777 : 0666);
      if (fd_ < 0) return ErrnoError(errno, "create", path);
      hash_ = std::make_unique<Sha256>();
    }
    for (absl::string_view data = piece.data(); !data.empty();) {
      const ssize_t n = ::write(fd_, data.data(), data.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return ErrnoError(errno, "write", path);
      data.remove_prefix(n);
    }
    hash_->Update(piece.data());
    offset_ += static_cast<int64_t>(piece.data().size());
    if (offset_ < file.size_bytes) return absl::OkStatus();
    ::close(std::exchange(fd_, -1));
    if (hash_->Finish() != file.digest.bytes)
      return absl::DataLossError(absl::StrCat(path, ": what came is not ", file.digest.ToString()));
    ++next_;
    offset_ = 0;
    return absl::OkStatus();
  }

 private:
  const std::vector<TreeFile> files_;
  const std::string destination_;
  size_t next_ = 0;
  int64_t offset_ = 0;
  int fd_ = -1;
  std::unique_ptr<Sha256> hash_;
};

}  // namespace

void BlobSources::AddTree(const Tree& tree, const std::string& folder) {
  for (const TreeFile& file : tree.files) Add(file.digest, {JoinPath(folder, file.path), "", file.size_bytes});
  std::string text = tree.Canonical();
  const auto size_bytes = static_cast<int64_t>(text.size());
  const Digest digest = Digest::Of(text);
  Add(digest, {"", std::move(text), size_bytes});
}

const BlobSources::Source* BlobSources::Find(const Digest& digest) const {
  const auto found = sources_.find(digest);
  return found == sources_.end() ? nullptr : &found->second;
}

absl::Status SendBlobs(AgentClient& client, const Prepared& prepared, const BlobSources& sources) {
  std::deque<std::pair<const BlobSources::Source*, std::unique_ptr<AgentClient::Pipe>>> open;
  const auto wait = [&]() -> absl::Status {
    const auto [source, pipe] = std::move(open.front());
    open.pop_front();
    const absl::Status status = pipe->Wait();
    return absl::IsDataLoss(status) ? HasChanged(source->path) : status;
  };
  for (const Prepared::Blob& blob : prepared.missing()) {
    ASSIGN_OR_RETURN(const Digest digest, DigestFromBytes(blob.digest()));
    const BlobSources::Source* source = sources.Find(digest);
    if (source == nullptr) return absl::InternalError(absl::StrCat("the agent asks for ", digest.ToString()));
    open.emplace_back(source, std::make_unique<AgentClient::Pipe>(client));
    RETURN_IF_ERROR(SendBlob(*open.back().second, digest, *source, blob.bytes_there()));
    if (open.size() >= kOpenPipes) RETURN_IF_ERROR(wait());
  }
  while (!open.empty()) RETURN_IF_ERROR(wait());
  return absl::OkStatus();
}

absl::Status FetchTree(AgentClient& client, const Tree& tree, const std::string& destination, Cas* cas) {
  Tree here;
  std::vector<TreeFile> there;
  for (const TreeFile& file : tree.files) {
    if (cas != nullptr && cas->Has(file.digest)) {
      here.files.push_back(file);
    } else {
      there.push_back(file);
    }
  }
  here.empty_folders = tree.empty_folders;
  RETURN_IF_ERROR(CreateDirectories(destination));
  if (cas != nullptr) {
    RETURN_IF_ERROR(cas->Materialize(here, destination, MaterializeMode::kCopy));
  } else {
    for (const std::string& folder : here.empty_folders)
      RETURN_IF_ERROR(CreateDirectories(JoinPath(destination, folder)));
  }
  std::set<std::string> made;
  for (const TreeFile& file : there) {
    const size_t slash = file.path.rfind('/');
    if (slash == std::string::npos || !made.insert(file.path.substr(0, slash)).second) continue;
    RETURN_IF_ERROR(CreateDirectories(JoinPath(destination, file.path.substr(0, slash))));
  }
  if (there.empty()) return absl::OkStatus();
  TreeWriter writer(std::move(there), destination);
  return client.Call(
      [&] {
        ToAgent request;
        *request.mutable_fetch() = writer.Rest();
        return request;
      },
      [&](const FromAgent& reply) -> absl::StatusOr<bool> {
        if (reply.has_piece()) {
          RETURN_IF_ERROR(writer.Take(reply.piece()));
          return false;
        }
        if (!writer.done()) return absl::InternalError("less came than was asked for");
        return true;
      });
}

}  // namespace millrace
