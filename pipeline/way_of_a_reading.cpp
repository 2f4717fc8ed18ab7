// One message or reading on its way into the open group: redelivered? decode, admit, rules, or a dead letter.
// The intake, the cut and the commit are in pipeline.cpp.
#include <fmt/format.h>

#include "pipeline/pipeline.h"
#include "telemetry/gateway_clock.h"
#include "telemetry/json_text.h"
#include "telemetry/log.h"

namespace wattd::pipeline {
namespace {

constexpr std::chrono::days kLongestService{20 * 365};  // of a build
constexpr std::size_t kKeptOfTooLong = 4096;            // bytes of a payload too long to be anything but an accident

}  // namespace

void Pipeline::process(Entry& entry) {
  open_group(clock_.monotonic());
  if (auto* messages = std::get_if<std::vector<Message>>(&entry.content)) {
    for (auto& message : *messages) process_message(std::move(message), 0);
  } else if (auto* replay = std::get_if<Replay>(&entry.content)) {
    process_message(std::move(replay->message), replay->id);
  } else {
    process_reading(std::move(std::get<Reading>(entry.content)));
  }
  processed_ = entry.last;
}

void Pipeline::process_reading(Reading reading) {
  counts_.received += 1;
  Rejection reason{};
  if (const auto admitted = admit(reading, true, reading.quality, reason); admitted) {
    accept(std::move(reading));
  } else {
    reject(message_of(reading, "poll"), reason, admitted.error().message, 0);
  }
}

void Pipeline::process_message(Message message, std::int64_t replayed_id) {
  if (replayed_id == 0) {
    if (redeliveries_.begins_session(message)) group_.receipts.push_back({message.source, 0, 0});
    auto receipt = receipt_of(message);
    if (redeliveries_.is_redelivery(message, receipt)) {
      counts_.redelivered += 1;
      return;
    }
    if (message.packet_id != 0) group_.receipts.push_back(std::move(receipt));
    counts_.received += 1;
  }
  Rejection reason = Rejection::parse_error;
  auto readings = decode(message, replayed_id != 0, reason);
  if (auto* outlet = outlet_.load(); outlet != nullptr) {
    for (const auto& command : reader_.take_commands()) outlet->tell(command);
  }
  if (!readings) return reject(std::move(message), reason, readings.error().message, replayed_id);
  if (replayed_id != 0) group_.replayed.push_back(replayed_id);
  for (auto& reading : *readings) accept(std::move(reading));
}

/// All that a message says, or nothing of it.
Result<std::vector<Reading>> Pipeline::decode(const Message& message, bool again, Rejection& reason) {
  if (message.payload.size() > kMaxPayload) {
    return fail(ErrorKind::permanent,
                fmt::format("the payload has more than {} bytes; only its beginning is kept", kMaxPayload));
  }
  auto decoded = reader_.decode(message, again);
  if (!decoded) return std::unexpected(decoded.error());
  const auto in_topic = reader_.device_in(message);
  std::vector<Reading> readings;
  for (auto& [reading, has_stamp] : *decoded) {
    if (in_topic && reading.device_id != *in_topic) {
      reason = Rejection::validation_error;
      return fail(ErrorKind::permanent,
                  fmt::format("device_id is {:?}; expected {:?} as in the topic", reading.device_id, *in_topic));
    }
    reading.received = message.received;
    if (auto admitted = admit(reading, has_stamp, message.received_quality, reason); !admitted)
      return std::unexpected(admitted.error());
    readings.push_back(std::move(reading));
  }
  return readings;
}

Result<void> Pipeline::admit(Reading& reading, bool has_stamp, Quality received_quality, Rejection& reason) {
  reason = Rejection::device_error;
  const auto admitted = registry_.admit(reading.device_id);
  if (!admitted) return std::unexpected(admitted.error());
  const Device& device = **admitted;
  const auto* schema = registry_.schema_of(device.type);

  reason = Rejection::validation_error;
  if (!has_stamp && schema != nullptr && schema->stamp_required) {
    return fail(ErrorKind::permanent, "timestamp is missing");
  }
  if (reading.fields.empty()) return fail(ErrorKind::permanent, "there is no field beside device_id and timestamp");
  if (schema != nullptr) {
    if (auto valid = validate(reading, *schema); !valid) return valid;
  }
  if (!has_stamp || device.stamp == StampSource::arrival)
    reading.at = reading.received, reading.quality |= received_quality;
  reason = Rejection::timestamp_error;
  if (auto plausible = check_stamp(reading, received_quality); !plausible) return plausible;
  reason = Rejection::device_error;
  if (auto known = registry_.admit_fields(reading); !known) return known;
  reading.device_version = device.version;
  return {};
}

Result<void> Pipeline::check_stamp(const Reading& reading, Quality received_quality) const {
  if (has(received_quality, Quality::clock_unsynced)) {
    // The device may well know better than we do.
    const bool is_plausible =
        reading.at >= build_date() - options_.raw_retention && reading.at <= build_date() + kLongestService;
    if (has(reading.quality, Quality::clock_unsynced) || is_plausible) return {};
    return fail(ErrorKind::permanent,
                fmt::format("timestamp {} is not of this program's time, and nothing vouches for the gateway's own "
                            "clock yet; replay it when something does",
                            format_iso8601(reading.at)));
  }
  if (reading.at > reading.received + options_.max_ahead) {
    return fail(ErrorKind::permanent,
                fmt::format("timestamp {} is {} ahead of the gateway's clock; at most {} are allowed",
                            format_iso8601(reading.at), format_duration(reading.at - reading.received),
                            format_duration(options_.max_ahead)));
  }
  if (reading.at < clock_.now() - options_.raw_retention) {
    return fail(ErrorKind::permanent, fmt::format("timestamp {} is older than the raw retention of {}",
                                                  format_iso8601(reading.at), format_duration(options_.raw_retention)));
  }
  return {};
}

void Pipeline::accept(Reading reading) {
  const auto began = clock_.monotonic();
  const auto& device = registry_.adopt(reading, clock_.now());
  if (options_.adjusted_counters) {
    // Once the device has its record: what its fields measure may stand in the schema of its type.
    const auto own = reading.fields.size();
    counters_.add_to(reading);
    for (auto i = own; i < reading.fields.size(); ++i) registry_.note_field(reading.device_id, reading.fields[i].name);
  }
  if (registry_.has_changes()) save_alerts(engine_.set_device(device, moment()));
  if (engine_.wants_recall()) recall_rules();
  rules::Verdict verdict;
  engine_.judge(reading, moment(), verdict);
  counts_.evaluation_seconds.add(clock_.monotonic() - began);
  absorb(std::move(verdict), reading.received);
  registry_.note_reading(reading, clock_.monotonic());
  fields_ += reading.fields.size();
  // What only a clock that nothing vouches for has stamped is kept apart until the clock is known.
  auto& kept = has(reading.quality, Quality::clock_unsynced) ? group_.held : group_.readings;
  kept.push_back(std::move(reading));
}

void Pipeline::reject(Message message, Rejection reason, std::string detail, std::int64_t replayed_id) {
  if (const auto in_topic = reader_.device_in(message)) registry_.note_rejected(*in_topic, clock_.monotonic());
  if (replayed_id != 0) {
    log::notice(fmt::format("dead letter {} was refused again: {}", replayed_id, detail));
    return;
  }
  counts_.rejected += 1;
  if (message.payload.size() > kMaxPayload) message.payload.resize(kKeptOfTooLong);
  group_.dead_letters.push_back({std::move(message), reason, std::move(detail)});
}

}  // namespace wattd::pipeline
