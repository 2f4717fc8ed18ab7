#include "drivers/replay/replay.h"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>
#include <thread>

#include "telemetry/log.h"

namespace wattd::drivers::replay {
namespace {

using namespace std::chrono_literals;

Value value_from(std::string_view cell) {
  const char* const end = cell.data() + cell.size();
  std::int64_t whole = 0;
  if (const auto [stop, problem] = std::from_chars(cell.data(), end, whole); problem == std::errc{} && stop == end) {
    return whole;
  }
  double number = 0;
  if (const auto [stop, problem] = std::from_chars(cell.data(), end, number); problem == std::errc{} && stop == end) {
    return number;
  }
  return std::string(cell);
}

}  // namespace

ReplayConfig parse_replay(const config::Table& table) {
  ReplayConfig replay;
  replay.file = table.text("file");
  table.readable_file("file");
  replay.device_id = table.text("device");
  if (!is_valid_device_id(replay.device_id))
    table.fail("device", "expected 1 to 50 printable characters without / + #");
  replay.time_column = table.text("time_column", replay.time_column);
  replay.speed = table.number("speed", 1);
  if (replay.speed < 0) table.fail("speed", "expected 0 (as fast as possible) or a positive factor");
  replay.shift = table.boolean("shift", true);
  for (const auto& pair : table.texts("columns")) {
    const auto equals = pair.find('=');
    replay.columns[pair.substr(0, equals)] = equals == std::string::npos ? pair : pair.substr(equals + 1);
  }
  table.reject_unknown_keys();
  return replay;
}

Recording::Recording(const ReplayConfig& config) : config_(config), lines_(config.file) {
  std::string header;
  if (!lines_.next(header)) throw std::runtime_error(fmt::format("{} is empty", config.file));
  bool has_time = false;
  for (const auto name : split_csv(header)) {
    const std::string column(name);
    if (column == config_.time_column) {
      has_time = true;
      time_index_ = fields_.size();
      fields_.emplace_back();
    } else if (config_.columns.empty()) {
      fields_.push_back(column);
    } else {
      const auto mapped = config_.columns.find(column);
      fields_.push_back(mapped == config_.columns.end() ? std::string{} : mapped->second);
    }
  }
  if (!has_time) throw std::runtime_error(fmt::format("{}:1: there is no column {}", config.file, config_.time_column));
}

bool Recording::next(Reading& reading) {
  std::string line;
  do {
    if (!lines_.next(line)) return false;
  } while (line.empty());
  const auto cells = split_csv(line);
  if (cells.size() != fields_.size()) {
    throw std::runtime_error(
        fmt::format("{}:{}: {} cells; the header has {}", config_.file, lines_.number(), cells.size(), fields_.size()));
  }
  const auto at = parse_iso8601(cells[time_index_]);
  if (!at)
    throw std::runtime_error(
        fmt::format("{}:{}: {:?} is no timestamp", config_.file, lines_.number(), cells[time_index_]));
  reading = Reading{.device_id = config_.device_id, .at = *at};
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (!fields_[i].empty() && !cells[i].empty()) reading.fields.push_back({fields_[i], value_from(cells[i])});
  }
  return true;
}

namespace {

Timestamp last_stamp(const ReplayConfig& config) {
  Recording recording(config);
  Reading reading;
  while (recording.next(reading)) {
  }
  return reading.at;
}

}  // namespace

void play(const ReplayConfig& config, Intake& intake, const Clock& clock, const std::stop_token& stop) {
  Recording recording(config);
  Reading reading;
  std::optional<Timestamp> first;
  // Played as fast as possible, a recording keeps its spacing and ends now: stamps never lie in the future.
  const auto started = clock.stamp();
  const auto to_now = config.shift && config.speed == 0 ? started.at - last_stamp(config) : 0us;
  const auto began = clock.monotonic();
  std::uint64_t rows = 0;
  while (!stop.stop_requested() && recording.next(reading)) {
    if (!first) first = reading.at;
    const auto elapsed = reading.at - *first;
    if (config.speed > 0) {
      const auto due = began + std::chrono::duration_cast<Instant::duration>(elapsed / config.speed);
      while (!stop.stop_requested() && clock.monotonic() < due)
        std::this_thread::sleep_for(std::min<Instant::duration>(due - clock.monotonic(), 50ms));
    }
    while (!stop.stop_requested() && !intake.has_room()) std::this_thread::sleep_for(5ms);
    const auto received = clock.stamp();
    reading.received = received.at;
    if (config.shift && config.speed > 0) reading.at = received.at, reading.quality = received.quality;
    else if (config.shift) reading.at += to_now, reading.quality = started.quality;
    intake.put(reading);
    ++rows;
  }
  log::notice(fmt::format("replay of {}: {} rows played", config.file, rows), {{"DEVICE_ID", config.device_id}});
}

}  // namespace wattd::drivers::replay
