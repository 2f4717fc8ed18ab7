#include "simulator/play.h"

#include <fmt/format.h>

#include <stdexcept>
#include <thread>

#include "telemetry/clock.h"
#include "telemetry/json_text.h"

namespace wattd::simulator {
namespace {

using namespace std::chrono_literals;

std::optional<Fault> due_fault(std::vector<ScriptedFault>& script, double elapsed, const std::string& device_id) {
  for (auto& scripted : script) {
    const bool meant = scripted.device_id.empty() || scripted.device_id == device_id;
    if (scripted.done || !meant || elapsed < scripted.at_seconds) continue;
    scripted.done = true;
    return scripted.fault;
  }
  return std::nullopt;
}

}  // namespace

std::uint64_t play_bulbs(BulbPlay play, const std::atomic<bool>& stop) {
  const SystemClock clock;
  Publisher publisher(play.broker);
  std::vector<Bulb> bulbs;
  for (int i = 1; i <= play.devices; ++i)
    bulbs.emplace_back(fmt::format("{}{}", play.prefix, i), play.seed + static_cast<std::uint64_t>(i), play.odds);
  const auto start = clock.monotonic();
  const auto interval = std::chrono::duration_cast<Instant::duration>(std::chrono::duration<double>(play.interval_s));
  for (std::uint64_t round = 0; !stop && (play.count == 0 || round < play.count); ++round) {
    for (std::size_t i = 0; i < bulbs.size() && !stop; ++i) {
      // Devices are spread over the interval, as they are in life.
      const auto due = start + interval * static_cast<std::int64_t>(round) +
                       interval * static_cast<std::int64_t>(i) / static_cast<std::int64_t>(bulbs.size());
      while (!stop && clock.monotonic() < due)
        std::this_thread::sleep_for(std::min<Instant::duration>(due - clock.monotonic(), 100ms));
      const auto elapsed = std::chrono::duration<double>(clock.monotonic() - start).count();
      auto& bulb = bulbs[i];
      const auto since = std::chrono::duration_cast<std::chrono::microseconds>(due - start);
      const auto at = play.start ? *play.start + since : clock.now();
      const auto message = bulb.next(at, due_fault(play.script, elapsed, bulb.device_id()));
      if (message.sent)
        publisher.publish(fmt::format("devices/{}/telemetry", bulb.device_id()), message.payload, play.qos);
    }
  }
  if (!publisher.drain(30)) throw std::runtime_error("the broker did not take everything in 30 s");
  return publisher.acknowledged();
}

std::uint64_t play_recording(const RecordingPlay& play, const std::atomic<bool>& stop) {
  std::vector<Reading> rows;
  drivers::replay::Recording recording(play.recording);
  for (Reading reading; (play.limit == 0 || rows.size() < play.limit) && recording.next(reading);)
    rows.push_back(reading);
  const auto step = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::duration<double>(play.step_s));
  const auto first = SystemClock().now() - step * static_cast<std::int64_t>(rows.size());
  Publisher publisher(play.broker);
  for (std::size_t i = 0; i < rows.size() && !stop; ++i) {
    rows[i].at = first + step * static_cast<std::int64_t>(i);
    publisher.publish(fmt::format("devices/{}/telemetry", rows[i].device_id), to_json(rows[i]), 1);
  }
  if (!publisher.drain(60)) throw std::runtime_error("the broker did not take everything in 60 s");
  return publisher.acknowledged();
}

}  // namespace wattd::simulator
