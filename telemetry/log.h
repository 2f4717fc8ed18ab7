#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wattd::log {

/// syslog's severities, the ones in use.
enum class Level { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

/// A named value beside the sentence; under systemd a journal field.
/// Shape: the key is upper case with underscores, e.g. `DEVICE_ID`.
using Entry = std::pair<std::string_view, std::string>;
using Entries = std::initializer_list<Entry>;

/// Where lines go. Threads: any, at once.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual void write(Level level, std::string_view message, const Entry* entries, std::size_t count) noexcept = 0;
};

/// Sends lines to `writer` from now on; nullptr drops them. Owns: nothing; the writer must outlive its use.
void set_writer(Writer* writer);
/// Drops lines below `level` (info by default).
void set_level(Level level);
/// The last lines that were written, oldest first, each with its time and severity: for diagnostics.
/// Shape: at most 300 of at most 500 bytes.
std::vector<std::string> recent();

void write(Level level, std::string_view message, Entries entries = {}) noexcept;
inline void error(std::string_view message, Entries entries = {}) noexcept { write(Level::error, message, entries); }
inline void warning(std::string_view message, Entries entries = {}) noexcept {
  write(Level::warning, message, entries);
}
inline void notice(std::string_view message, Entries entries = {}) noexcept { write(Level::notice, message, entries); }
inline void info(std::string_view message, Entries entries = {}) noexcept { write(Level::info, message, entries); }
inline void debug(std::string_view message, Entries entries = {}) noexcept { write(Level::debug, message, entries); }

}  // namespace wattd::log
