#include "telemetry/log.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>

#include "telemetry/time.h"

namespace wattd::log {
namespace {
std::atomic<Writer*> writer_in_use{nullptr};
std::atomic<Level> lowest{Level::info};

constexpr std::size_t kLines = 300, kBytes = 500;
std::mutex mutex;
std::deque<std::string> lines;  // guarded by mutex

void keep(Level level, std::string_view message) {
  const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  auto line = fmt::format("{} <{}> {}", format_iso8601(now), static_cast<int>(level), message.substr(0, kBytes));
  const std::scoped_lock lock(mutex);
  lines.push_back(std::move(line));
  if (lines.size() > kLines) lines.pop_front();
}
}  // namespace

void set_writer(Writer* writer) { writer_in_use.store(writer); }
void set_level(Level level) { lowest.store(level); }

void write(Level level, std::string_view message, Entries entries) noexcept {
  Writer* const writer = writer_in_use.load();
  if (writer == nullptr || level > lowest.load()) return;
  writer->write(level, message, entries.begin(), entries.size());
  try {
    keep(level, message);
  } catch (...) {
    // A line that is not kept has been written.
  }
}

std::vector<std::string> recent() {
  const std::scoped_lock lock(mutex);
  return {lines.begin(), lines.end()};
}

}  // namespace wattd::log
