#include "storage/state_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/error.h"

namespace promptdb {

namespace {

// What a manifest can sensibly have: 64 million token ids.
constexpr uint32_t kMostManifestBytes = 1u << 28;

template <typename T>
std::string_view BytesOf(const T& header) {
  return {reinterpret_cast<const char*>(&header), sizeof(header)};
}

std::span<const std::byte> ToSpan(std::string_view bytes) {
  return std::as_bytes(std::span(bytes.data(), bytes.size()));
}

// Of all headers of the file: the digest of what stands before it.
template <typename T>
std::string HeaderDigest(const T& header) {
  const std::string_view bytes = BytesOf(header);
  return DigestBytes(ToSpan(bytes.substr(0, offsetof(T, header_digest)))).ToBytes();
}

template <typename T>
std::string_view Seal(T& header) {
  std::memcpy(header.header_digest, HeaderDigest(header).data(), sizeof(header.header_digest));
  return BytesOf(header);
}

bool Holds(const uint8_t (&field)[16], const std::string& digest) {
  return std::memcmp(field, digest.data(), sizeof(field)) == 0;
}

Digest Chained(const Digest& entries, const StateFileEntry& entry) {
  std::string bytes = entries.ToBytes();
  bytes.append(reinterpret_cast<const char*>(entry.header_digest), sizeof(entry.header_digest));
  return DigestBytes(ToSpan(bytes));
}

}  // namespace

// ---- Writing -----------------------------------------------------------------------------------

StateFileWriter::StateFileWriter(const std::filesystem::path& path, int64_t created_at)
    : file_(path, WholeFileWriter::Existing::kRefuse) {
  StateFileHeader header;
  header.created_at = created_at;
  file_.Write(Seal(header));
}

void StateFileWriter::BeginState(const StateManifest& manifest) {
  bytes_before_ = file_.size();
  entries_before_ = entries_;
  const std::string row = EncodeManifest(manifest);
  const BlockGrid grid(manifest.shape, manifest.tokens);
  StateFileEntry entry;
  entry.number = static_cast<uint64_t>(states_++);
  entry.manifest_bytes = static_cast<uint32_t>(row.size());
  entry.blocks = static_cast<uint32_t>(grid.blocks());
  entry.block_bytes = static_cast<uint64_t>(grid.TotalBytes());
  std::memcpy(entry.manifest_digest, DigestBytes(ToSpan(row)).ToBytes().data(),
              sizeof(entry.manifest_digest));
  file_.Write(Seal(entry));
  file_.Write(row);
  entries_ = Chained(entries_, entry);
}

void StateFileWriter::AddBlock(const BlockBuffer& block) {
  file_.Write({reinterpret_cast<const char*>(block.data()), static_cast<size_t>(block.size())});
}

void StateFileWriter::DropState() {
  file_.CutTo(bytes_before_);
  entries_ = entries_before_;
  --states_;
}

void StateFileWriter::Finish() {
  StateFileEnd end;
  end.states = static_cast<uint64_t>(states_);
  end.file_bytes = static_cast<uint64_t>(file_.size()) + sizeof(end);
  std::memcpy(end.entries_digest, entries_.ToBytes().data(), sizeof(end.entries_digest));
  file_.Write(Seal(end));
  file_.Finish();
}

// ---- Reading -----------------------------------------------------------------------------------

StateFileReader::StateFileReader(const std::filesystem::path& path) : path_(path) {
  const auto fail = [&](const std::string& cause) -> Error {
    return Error(ErrorCode::kIo, "cannot read \"" + path.string() + "\": " + cause);
  };
  // A pipe without a writer must not be waited for.
  fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) throw fail(std::generic_category().message(errno));
  struct stat status {};
  const bool is_file = fstat(fd_, &status) == 0 && S_ISREG(status.st_mode);
  try {
    if (!is_file) throw fail("it is no regular file");
    bytes_ = status.st_size;
    posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
    CheckHeader();
  } catch (...) {
    close(fd_);
    throw;
  }
}

StateFileReader::~StateFileReader() { close(fd_); }

void StateFileReader::Corrupt(const std::string& cause, int64_t at) const {
  throw Error(ErrorCode::kCorrupt,
              "the states file \"" + path_.string() + "\" is damaged at byte " +
                  std::to_string(at) + ": " + cause,
              "Copy it again from where it came from, or export it again.");
}

void StateFileReader::Read(std::span<std::byte> out) {
  if (static_cast<int64_t>(out.size()) > bytes_ - at_) {
    Corrupt("the file ends too early, after " + std::to_string(bytes_) + " bytes", at_);
  }
  while (!out.empty()) {
    const ssize_t got = read(fd_, out.data(), out.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw Error(ErrorCode::kIo, "cannot read \"" + path_.string() +
                                      "\": " + std::generic_category().message(errno));
    }
    if (got == 0) Corrupt("the file has become shorter", at_);
    at_ += got;
    out = out.subspan(static_cast<size_t>(got));
  }
}

void StateFileReader::CheckHeader() {
  StateFileHeader header;
  const auto bytes = std::as_writable_bytes(std::span(&header, 1));
  if (bytes_ >= static_cast<int64_t>(sizeof(header.magic))) {
    Read(bytes.first(sizeof(header.magic)));
  }
  if (at_ == 0 || header.magic != kStateFileMagic) {
    throw Error(ErrorCode::kCorrupt, "this is no states file: \"" + path_.string() + '"',
                "EXPORT STATES writes such files.");
  }
  Read(bytes.subspan(sizeof(header.magic)));
  // Versions come before the digest, since another version may place the digest elsewhere.
  if (header.format_version > kStateFileFormatVersion ||
      header.block_format_version > kBlockFormatVersion) {
    throw Error(ErrorCode::kUnsupported,
                "the states file \"" + path_.string() +
                    "\" was written by a newer release: its "
                    "format is " +
                    std::to_string(header.format_version) + " with blocks of format " +
                    std::to_string(header.block_format_version) +
                    ", and this release knows up to " + std::to_string(kStateFileFormatVersion) +
                    " and " + std::to_string(kBlockFormatVersion),
                "Use the newer release here, too.");
  }
  if (!Holds(header.header_digest, HeaderDigest(header))) {
    Corrupt("its header fails its checksum", 0);
  }
  if (header.format_version < 1 || header.block_format_version < 1) {
    Corrupt("there is no format 0", 0);
  }
}

std::optional<StateManifest> StateFileReader::NextState() {
  Check(!grid_ || next_block_ == grid_->blocks(),
        "a state's blocks are read before the next state");
  grid_.reset();
  const int64_t at = at_;
  StateFileEntry entry;
  static_assert(sizeof(StateFileEntry) == sizeof(StateFileEnd));
  Read(std::as_writable_bytes(std::span(&entry, 1)));
  if (entry.magic == kStateEndMagic) {
    StateFileEnd end;
    std::memcpy(static_cast<void*>(&end), &entry, sizeof(end));
    CheckEnd(end, at);
    return std::nullopt;
  }
  if (entry.magic != kStateEntryMagic) Corrupt("there is no state", at);
  if (!Holds(entry.header_digest, HeaderDigest(entry))) {
    Corrupt("a state's entry fails its checksum", at);
  }
  if (entry.number != states_) Corrupt("the states are not in order", at);
  manifest_ = ReadManifest(entry, at);
  entries_ = Chained(entries_, entry);
  ++states_;
  grid_.emplace(manifest_.shape, manifest_.tokens);
  next_block_ = 0;
  return manifest_;
}

StateManifest StateFileReader::ReadManifest(const StateFileEntry& entry, int64_t at) {
  if (entry.manifest_bytes > kMostManifestBytes) Corrupt("a manifest of impossible size", at);
  if (entry.manifest_bytes > bytes_ - at_) Corrupt("the file ends in a manifest", at);
  std::string row(entry.manifest_bytes, '\0');
  Read(std::as_writable_bytes(std::span(row.data(), row.size())));
  if (!Holds(entry.manifest_digest, DigestBytes(ToSpan(row)).ToBytes())) {
    Corrupt("a manifest fails its checksum", at);
  }
  StateManifest manifest;
  try {
    manifest = DecodeManifest(row);
  } catch (const Error& error) {
    Corrupt(error.message(), at);
  }
  // From here on the file is what its writer wrote, but the writer may have been anyone.
  const int64_t left = bytes_ - at_;
  if (manifest.tokens < 1 || manifest.start_position < 0 ||
      manifest.token_ids.size() != static_cast<size_t>(manifest.tokens)) {
    Corrupt("a manifest with an impossible number of tokens", at);
  }
  // Before the grid, whose numbers only fit into theirs for states of a possible size.
  if (manifest.tokens > left / manifest.shape.BytesPerToken()) {
    Corrupt("the file ends in the blocks of a state", at);
  }
  const BlockGrid grid(manifest.shape, manifest.tokens);
  if (entry.blocks != static_cast<uint32_t>(grid.blocks()) ||
      entry.block_bytes != static_cast<uint64_t>(grid.TotalBytes())) {
    Corrupt("a state's entry and its manifest disagree", at);
  }
  if (manifest.of_chat) Corrupt("a state of a chat, which no states file has", at);
  return manifest;
}

BlockBuffer StateFileReader::NextBlock() {
  Check(grid_ && next_block_ < grid_->blocks(), "the state has another block");
  const BlockExtent extent = grid_->Extent(next_block_++);
  const int64_t at = at_;
  if (extent.payload_bytes + kBlockHeaderBytes > bytes_ - at_) {
    Corrupt("the file ends in a block", at);
  }
  BlockBuffer block(extent.payload_bytes);
  Read({block.data(), static_cast<size_t>(block.size())});
  try {
    VerifyBlock(manifest_.key, manifest_.shape, extent, block);
  } catch (const Error& error) {
    Corrupt(error.message(), at);
  }
  return block;
}

void StateFileReader::CheckEnd(const StateFileEnd& end, int64_t at) {
  if (!Holds(end.header_digest, HeaderDigest(end))) Corrupt("its end fails its checksum", at);
  if (end.states != states_ || !Holds(end.entries_digest, entries_.ToBytes())) {
    Corrupt("its end is that of other states", at);
  }
  if (end.file_bytes != static_cast<uint64_t>(at_)) Corrupt("bytes are missing or too many", at);
  if (at_ != bytes_) Corrupt("something follows its end", at_);
}

}  // namespace promptdb
