#include "storage/rocks_files.h"

#include <rocksdb/file_system.h>

#include <atomic>
#include <string>
#include <string_view>
#include <utility>

namespace promptdb {

namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

std::string_view NameOf(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// Whether what the MANIFEST says is in doubt; shared by the files and the file system, of which
// either may go first.
class Doubt {
 public:
  IOStatus Note(IOStatus status) {
    if (!status.ok()) is_raised_ = true;
    return status;
  }
  bool is_raised() const { return is_raised_; }

 private:
  std::atomic<bool> is_raised_ = false;
};

class WatchedManifest : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  WatchedManifest(std::unique_ptr<rocksdb::FSWritableFile> file, std::shared_ptr<Doubt> doubt)
      : FSWritableFileOwnerWrapper(std::move(file)), doubt_(std::move(doubt)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return doubt_->Note(target()->Append(data, options, debug));
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& verification,
                  IODebugContext* debug) override {
    return doubt_->Note(target()->Append(data, options, verification, debug));
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    return doubt_->Note(target()->Close(options, debug));
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* debug) override {
    return doubt_->Note(target()->Flush(options, debug));
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return doubt_->Note(target()->Sync(options, debug));
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return doubt_->Note(target()->Fsync(options, debug));
  }

 private:
  const std::shared_ptr<Doubt> doubt_;
};

class WatchedFolder : public rocksdb::FSDirectoryWrapper {
 public:
  WatchedFolder(std::unique_ptr<rocksdb::FSDirectory> folder, std::shared_ptr<Doubt> doubt)
      : FSDirectoryWrapper(std::move(folder)), doubt_(std::move(doubt)) {}

  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return doubt_->Note(FSDirectoryWrapper::Fsync(options, debug));
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& folder_options) override {
    return doubt_->Note(FSDirectoryWrapper::FsyncWithDirOptions(options, debug, folder_options));
  }

 private:
  const std::shared_ptr<Doubt> doubt_;
};

class CarefulFileSystem : public rocksdb::FileSystemWrapper {
 public:
  CarefulFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}

  const char* Name() const override { return "PromptDB"; }

  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* debug) override {
    IOStatus status = target()->NewWritableFile(path, options, file, debug);
    if (status.ok() && NameOf(path).starts_with("MANIFEST-")) {
      *file = std::make_unique<WatchedManifest>(std::move(*file), doubt_);
    }
    return status;
  }

  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* folder,
                        IODebugContext* debug) override {
    IOStatus status = target()->NewDirectory(path, options, folder, debug);
    if (status.ok()) *folder = std::make_unique<WatchedFolder>(std::move(*folder), doubt_);
    return status;
  }

  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* debug) override {
    return doubt_->Note(target()->RenameFile(from, to, options, debug));
  }

  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override {
    const std::string_view name = NameOf(path);
    const bool may_be_named =
        name.ends_with(".sst") || name.ends_with(".log") || name.starts_with("MANIFEST-");
    if (doubt_->is_raised() && may_be_named) return IOStatus::OK();
    return target()->DeleteFile(path, options, debug);
  }

 private:
  const std::shared_ptr<Doubt> doubt_ = std::make_shared<Doubt>();
};

}  // namespace

std::unique_ptr<rocksdb::Env> MakeCarefulEnv() {
  return rocksdb::NewCompositeEnv(std::make_shared<CarefulFileSystem>());
}

}  // namespace promptdb
