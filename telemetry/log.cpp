#include "telemetry/log.h"

#include <atomic>

namespace wattd::log {
namespace {
std::atomic<Writer*> writer_in_use{nullptr};
std::atomic<Level> lowest{Level::info};
}  // namespace

void set_writer(Writer* writer) { writer_in_use.store(writer); }
void set_level(Level level) { lowest.store(level); }

void write(Level level, std::string_view message, Entries entries) noexcept {
  Writer* const writer = writer_in_use.load();
  if (writer == nullptr || level > lowest.load()) return;
  writer->write(level, message, entries.begin(), entries.size());
}

}  // namespace wattd::log
