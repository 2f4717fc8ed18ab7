#include "daemon/journal.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <vector>

namespace wattd::daemon {
namespace {

class JournalWriter final : public log::Writer {
 public:
  void write(log::Level level, std::string_view message, const log::Entry* entries,
             std::size_t count) noexcept override {
    std::vector<std::string> fields;
    fields.push_back(fmt::format("MESSAGE={}", message));
    fields.push_back(fmt::format("PRIORITY={}", static_cast<int>(level)));
    fields.push_back("SYSLOG_IDENTIFIER=wattd");
    for (std::size_t i = 0; i < count; ++i) fields.push_back(fmt::format("{}={}", entries[i].first, entries[i].second));
    std::vector<iovec> parts;
    for (auto& field : fields) parts.push_back({field.data(), field.size()});
    sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
  }
};

class LineWriter final : public log::Writer {
 public:
  void write(log::Level level, std::string_view message, const log::Entry*, std::size_t) noexcept override {
    const auto line =
        terminal_ ? fmt::format("{:%H:%M:%S} {}{}\033[0m\n", fmt::localtime(std::time(nullptr)), colour(level), message)
                  : fmt::format("<{}>{}\n", static_cast<int>(level), message);
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
  }

 private:
  static const char* colour(log::Level level) {
    switch (level) {
      case log::Level::error: return "\033[31m";
      case log::Level::warning: return "\033[33m";
      case log::Level::notice: return "\033[1m";
      default: return "";
    }
  }
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
};

/// Whether standard error is the stream that systemd named, and not one put in its place since.
bool is_journal(const char* stream) {
  struct stat status{};
  return stream != nullptr && fstat(STDERR_FILENO, &status) == 0 &&
         fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

}  // namespace

log::Writer& choose_log_writer() {
  // sd_journal_send answers 0 even where no journal listens, so its own answer cannot be asked.
  static JournalWriter journal;
  static LineWriter lines;
  return is_journal(std::getenv("JOURNAL_STREAM")) ? static_cast<log::Writer&>(journal) : lines;
}

}  // namespace wattd::daemon
