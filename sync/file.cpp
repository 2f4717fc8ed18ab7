#include "sync/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

#include "sync/documents.h"

namespace wattd::sync {
namespace {

constexpr off_t kPart = 64 << 10;

/// An open file that closes itself.
class File {
 public:
  explicit File(const std::string& path) : handle_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640)) {}
  ~File() {
    if (handle_ >= 0) ::close(handle_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int handle() const { return handle_; }

 private:
  int handle_;
};

/// Where the last whole line ends: what a power cut has left of the next is written anew.
off_t end_of_lines(int file) {
  std::string part;
  for (auto end = ::lseek(file, 0, SEEK_END); end > 0;) {
    const auto begin = end > kPart ? end - kPart : 0;
    part.resize(static_cast<std::size_t>(end - begin));
    if (::pread(file, part.data(), part.size(), begin) != static_cast<ssize_t>(part.size())) return -1;
    if (const auto line = part.rfind('\n'); line != std::string::npos) return begin + static_cast<off_t>(line) + 1;
    end = begin;
  }
  return 0;
}

class FileSink final : public Sink {
 public:
  FileSink(FileConfig config, std::string gateway, Stream stream)
      : config_(std::move(config)),
        gateway_(std::move(gateway)),
        stream_(stream),
        directory_(stream == Stream::readings ? config_.directory
                                              : fmt::format("{}/{}", config_.directory, to_string(stream))) {}

  std::string pack(std::span<const Outgoing>) const override { return {}; }
  bool packs() const override { return false; }
  Taken deliver(std::string_view, std::span<const Outgoing> batch, const std::stop_token&) override {
    std::error_code problem;
    std::filesystem::create_directories(directory_, problem);
    std::map<std::string, std::string> by_day;
    for (const auto& outgoing : batch)
      by_day[format_iso8601(outgoing.at()).substr(0, 10)] += document_of(outgoing, gateway_, stream_) + '\n';
    if (const auto used = used_bytes(); used >= config_.most_bytes) {
      return fail(ErrorKind::retry, fmt::format("{} holds {} MB; fetch and delete files, or raise max_size",
                                                config_.directory, used >> 20));
    }
    for (const auto& [day, lines] : by_day) {
      if (auto written = append(fmt::format("{}/{}.ndjson", directory_, day), lines); !written) return written;
    }
    return {};
  }

  std::string target() const override { return config_.directory; }

  std::expected<std::string, NotTaken> probe(const std::stop_token&) override {
    std::error_code problem;
    std::filesystem::create_directories(directory_, problem);
    if (::access(config_.directory.c_str(), W_OK) != 0)
      return fail(ErrorKind::retry, fmt::format("{} cannot be written: {}", config_.directory, std::strerror(errno)));
    return fmt::format("{} can be written; it holds {} of {} MB", config_.directory, used_bytes() >> 20,
                       config_.most_bytes >> 20);
  }

 private:
  Taken append(const std::string& path, std::string_view lines) const {
    const auto failed = [&] {
      return fail(ErrorKind::retry, fmt::format("{} cannot be written: {}", path, std::strerror(errno)));
    };
    const File file(path);
    // What a person asks for beside the live readings writes to the same files.
    if (file.handle() < 0 || ::flock(file.handle(), LOCK_EX) != 0) return failed();
    const auto end = end_of_lines(file.handle());
    if (end < 0 || ::ftruncate(file.handle(), end) != 0) return failed();
    for (auto at = end; !lines.empty();) {
      const auto count = ::pwrite(file.handle(), lines.data(), lines.size(), at);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return failed();
      at += count;
      lines.remove_prefix(static_cast<std::size_t>(count));
    }
    if (::fdatasync(file.handle()) != 0) return failed();
    if (end > 0) return {};
    // A new file's name has to be on the disk, too.
    const int directory = ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool is_there = directory >= 0 && ::fsync(directory) == 0;
    if (directory >= 0) ::close(directory);
    return is_there ? Taken() : failed();
  }

  std::int64_t used_bytes() const {
    std::int64_t bytes = 0;
    std::error_code problem;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(config_.directory, problem)) {
      std::error_code gone;
      if (const auto size = entry.file_size(gone); !gone) bytes += static_cast<std::int64_t>(size);
    }
    return bytes;
  }

  const FileConfig config_;
  const std::string gateway_;
  const Stream stream_;
  const std::string directory_;
};

}  // namespace

FileConfig parse_file(const config::Table& table) {
  FileConfig file;
  file.directory = table.text("directory");
  if (!file.directory.starts_with('/')) table.fail("directory", "expected a path that begins with /");
  file.most_bytes = table.bytes("max_size", 1 << 20, INT64_C(1) << 50, file.most_bytes);
  return file;
}

std::unique_ptr<Sink> file_sink(FileConfig config, std::string gateway, Stream stream) {
  return std::make_unique<FileSink>(std::move(config), std::move(gateway), stream);
}

}  // namespace wattd::sync
