#include "api/json.h"

#include <fmt/format.h>
#include <json/writer.h>

#include "storage/space.h"
#include "telemetry/version.h"

namespace wattd::api {

Json::Value time_or_null(const std::optional<Timestamp>& at) {
  return at ? Json::Value(format_iso8601(*at)) : Json::Value();
}
Json::Value text_or_null(const std::string& text) { return text.empty() ? Json::Value() : Json::Value(text); }

namespace {

Json::Value to_json(const ConnectionStatus& status) {
  Json::Value json;
  json["id"] = status.id;
  json["address"] = status.address;
  json["connected"] = status.connected;
  json["messages"] = Json::UInt64(status.messages);
  json["connects"] = Json::UInt64(status.connects);
  json["retained_skipped"] = Json::UInt64(status.retained_skipped);
  json["full_pauses"] = Json::UInt64(status.full_pauses);
  json["last_error"] = status.connected ? Json::Value() : text_or_null(status.last_error);
  return json;
}

Json::Value to_json(const BusStatus& bus) {
  Json::Value json;
  json["id"] = bus.id;
  json["address"] = bus.address;
  json["load"] = bus.health.load;
  json["meters"] = Json::arrayValue;
  for (const auto& meter : bus.health.meters) {
    Json::Value one;
    one["device_id"] = meter.device_id;
    one["polls"] = Json::UInt64(meter.polls);
    one["failures"] = Json::UInt64(meter.failures);
    one["lost"] = Json::UInt64(meter.lost);
    one["skipped_full"] = Json::UInt64(meter.skipped_full);
    one["last_answer_ms"] = meter.last_answer_ms;
    one["timeout_ms"] = meter.timeout_ms;
    one["last_error"] = text_or_null(meter.last_error);
    one["left_out"] = Json::arrayValue;
    for (const auto& measurand : meter.left_out) one["left_out"].append(measurand);
    json["meters"].append(one);
  }
  return json;
}

Json::Value counts_of(const pipeline::Pipeline& pipeline) {
  const auto& counts = pipeline.counts();
  Json::Value json;
  json["received"] = Json::UInt64(counts.received.load());
  json["committed"] = Json::UInt64(counts.committed.load());
  json["samples"] = Json::UInt64(counts.samples.load());
  json["rejected"] = Json::UInt64(counts.rejected.load());
  json["redelivered"] = Json::UInt64(counts.redelivered.load());
  json["alerts"] = Json::UInt64(counts.alerts.load());
  json["groups"] = Json::UInt64(counts.groups.load());
  json["backlog"] = Json::UInt64(pipeline.backlog());
  json["commit_failures"] = Json::UInt64(counts.commit_failures.load());
  json["commit_problem"] = text_or_null(pipeline.commit_problem());
  json["commit_ms_p50"] = counts.commit_seconds.quantile(.5) * 1e3;
  json["commit_ms_p95"] = counts.commit_seconds.quantile(.95) * 1e3;
  json["alert_ms_p95"] = counts.alert_seconds.quantile(.95) * 1e3;
  return json;
}

}  // namespace

std::string write(const Json::Value& value) {
  static const auto builder = [] {
    Json::StreamWriterBuilder settings;
    settings["indentation"] = "";
    settings["precision"] = 15;  // 17 digits would print 230.1 as 230.09999999999999
    settings["emitUTF8"] = true;
    return settings;
  }();
  return Json::writeString(builder, value);
}

std::string envelope(Json::Value data) {
  Json::Value whole;
  whole["success"] = true;
  whole["data"] = std::move(data);
  return write(whole);
}

std::string page_envelope(Json::Value items, std::size_t total, std::size_t page, std::size_t page_size) {
  Json::Value whole;
  whole["success"] = true;
  whole["data"] = items.isNull() ? Json::Value(Json::arrayValue) : std::move(items);
  whole["total"] = Json::UInt64(total);
  whole["page"] = Json::UInt64(page);
  whole["page_size"] = Json::UInt64(page_size);
  return write(whole);
}

Json::Value to_json(const pipeline::DeviceActivity& activity) {
  const auto& device = activity.device;
  Json::Value json;
  json["device_id"] = device.id;
  json["tenant_id"] = device.tenant;
  json["device_name"] = device.name;
  json["device_type"] = device.type;
  json["status"] = std::string(to_string(device.status));
  json["location"] = text_or_null(device.location);
  json["manufacturer"] = text_or_null(device.manufacturer);
  json["model"] = text_or_null(device.model);
  json["metadata_json"] = device.metadata_json;
  json["building_id"] = text_or_null(device.building);
  json["meter_role"] = std::string(to_string(device.role));
  json["parent_device_id"] = text_or_null(device.parent_id);
  json["formula"] = text_or_null(device.formula);
  json["schema_version"] = device.schema_version;
  json["enrichment_status"] = std::string(to_string(device.enrichment));
  json["version"] = device.version;
  json["origin"] = text_or_null(device.origin);
  json["last_seen"] = time_or_null(activity.last_seen);
  json["readings"] = Json::UInt64(activity.readings);
  json["rejected"] = Json::UInt64(activity.rejected);
  json["health_score"] = Json::Value();
  if (const auto& health = activity.health) {
    json["health_score"] = std::round(health->score * 100) / 100;
    json["health"]["uptime_percent"] = std::round(health->uptime * 1e4) / 100;
    json["health"]["missing_percent"] = std::round(health->missing * 1e4) / 100;
    json["health"]["error_rate"] = health->error_rate;
    json["health"]["avg_response_ms"] = std::round(health->response_ms * 100) / 100;
    json["health"]["interval_s"] = health->interval_s;
  }
  json["created_at"] = format_iso8601(device.created_at);
  json["updated_at"] = format_iso8601(device.updated_at);
  return json;
}

Json::Value to_json(const storage::SeriesInfo& series) {
  Json::Value json;
  json["field"] = series.field;
  json["measurand"] = text_or_null(series.measurand);
  json["unit"] = text_or_null(series.unit);
  return json;
}

Json::Value to_json(const Value& value) {
  if (const auto* real = std::get_if<double>(&value)) return std::isfinite(*real) ? Json::Value(*real) : Json::Value();
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return Json::Int64(*whole);
  if (const auto* truth = std::get_if<bool>(&value)) return *truth;
  return std::get<std::string>(value);
}

void add_statistics(Json::Value& json, const storage::Rollup& rollup) {
  json["count"] = Json::Int64(rollup.count);
  json["coverage"] = rollup.coverage;
  json["quality"] = to_string(rollup.quality);
  if (rollup.milli) json["energy_kwh"] = static_cast<double>(*rollup.milli) / 1e6;
  if (rollup.count == 0) return;
  json["min"] = rollup.min, json["max"] = rollup.max, json["sum"] = rollup.sum;
  json["mean"] = rollup.sum / static_cast<double>(rollup.count);
  json["first"] = rollup.first, json["last"] = rollup.last;
}

namespace {

Json::Value to_json(const EnergyBlock& block) {
  Json::Value json;
  json["start"] = format_iso8601(block.range.from);
  json["end"] = format_iso8601(block.range.to);
  json["energy_kwh"] = static_cast<double>(block.milli) / 1e6;
  json["demand_kw"] = block.demand_kw();
  json["complete"] = block.is_complete();
  return json;
}

/// The highest block and the highest window of each day or month that the blocks touch.
template <class RangeOf>
Json::Value peaks_of(const std::vector<EnergyBlock>& blocks, const std::vector<EnergyBlock>& sliding,
                     RangeOf range_of) {
  Json::Value peaks(Json::arrayValue);
  for (TimeRange range{}; const auto& block : blocks) {
    if (range.contains(block.range.from)) continue;
    range = range_of(block.range.from);
    Json::Value one;
    one["start"] = format_iso8601(range.from);
    const auto fixed = peak_of(blocks, range);
    const auto window = peak_of(sliding, range);
    one["block"] = fixed ? to_json(*fixed) : Json::Value();
    one["sliding"] = window ? to_json(*window) : Json::Value();
    peaks.append(one);
  }
  return peaks;
}

}  // namespace

Json::Value to_json(const std::vector<MeterTerm>& terms, const std::string& field,
                    const std::vector<EnergyBlock>& blocks, const std::vector<EnergyBlock>& sliding,
                    const Calendar& calendar) {
  Json::Value json;
  json["field"] = field;
  json["meters"] = json["blocks"] = Json::arrayValue;
  for (const auto& term : terms) json["meters"].append((term.sign < 0 ? "-" : "+") + term.device_id);
  for (const auto& block : blocks) json["blocks"].append(to_json(block));
  json["days"] = peaks_of(blocks, sliding, [&](Timestamp at) { return calendar.day_of(at); });
  json["months"] = peaks_of(blocks, sliding, [&](Timestamp at) { return calendar.month_of(at); });
  return json;
}

Json::Value to_json(const Delivery& delivery) {
  Json::Value json;
  json["id"] = delivery.id;
  json["alert_id"] = text_or_null(delivery.alert_id);
  json["channel"] = delivery.channel;
  json["recipient"] = delivery.recipient;
  json["event"] = delivery.event;
  json["message_id"] = text_or_null(delivery.message_id);
  json["status"] = std::string(to_string(delivery.status));
  json["provider_response"] = text_or_null(delivery.response);
  json["attempts"] = delivery.attempts;
  json["due_at"] = time_or_null(delivery.due_at);
  json["sent_at"] = time_or_null(delivery.sent_at);
  json["created_at"] = format_iso8601(delivery.created_at);
  return json;
}

Json::Value to_json(const Silence& silence) {
  Json::Value json;
  json["silence_id"] = silence.id;
  json["device_ids"] = json["rule_ids"] = Json::arrayValue;
  for (const auto& id : silence.device_ids) json["device_ids"].append(id);
  for (const auto& id : silence.rule_ids) json["rule_ids"].append(id);
  json["from"] = format_iso8601(silence.from);
  json["to"] = format_iso8601(silence.to);
  json["created_by"] = silence.created_by;
  json["comment"] = text_or_null(silence.comment);
  return json;
}

Json::Value to_json(const notify::ChannelStatus& channel) {
  Json::Value json;
  json["id"] = channel.id;
  json["kind"] = channel.kind;
  json["waiting"] = Json::UInt64(channel.waiting);
  json["sent"] = Json::UInt64(channel.sent);
  json["failed"] = Json::UInt64(channel.failed);
  json["last_error"] = text_or_null(channel.last_error);
  return json;
}

Json::Value to_json(const AuditEntry& entry) {
  Json::Value json;
  json["at"] = format_iso8601(entry.at);
  json["who"] = entry.who;
  json["did"] = entry.did;
  json["subject"] = entry.subject;
  json["detail"] = text_or_null(entry.detail);
  return json;
}

Json::Value to_json(const storage::StoredDeadLetter& stored, bool with_payload) {
  const auto& message = stored.letter.message;
  Json::Value json;
  json["id"] = Json::Int64(stored.id);
  json["received_at"] = format_iso8601(message.received);
  json["source"] = message.source;
  json["topic"] = message.topic;
  json["reason"] = stored.reason;
  json["detail"] = stored.letter.detail;
  json["bytes"] = Json::UInt64(message.payload.size());
  json["replayed_at"] = time_or_null(stored.replayed_at);
  if (with_payload) json["payload"] = message.payload;
  return json;
}

Json::Value to_json(const Overview& overview, const pipeline::Pipeline& pipeline, Timestamp now) {
  Json::Value json;
  json["gateway_id"] = overview.gateway_id;
  json["version"] = kVersion;
  json["started_at"] = format_iso8601(overview.started_at);
  json["uptime_seconds"] = Json::Int64((now - overview.started_at) / std::chrono::seconds{1});
  json["config"] = overview.config_path;
  json["clock"]["trusted"] = overview.clock_is_trusted;
  json["clock"]["steps"] = Json::UInt64(overview.clock_steps);
  json["clock"]["held_readings"] = Json::Int64(overview.usage.held_readings);
  json["pipeline"] = counts_of(pipeline);
  auto& stored = json["storage"];
  stored["database"] = overview.database;
  stored["set_aside"] = text_or_null(overview.set_aside);
  stored["last_seq"] = Json::UInt64(overview.usage.last_seq);
  stored["segments"] = Json::Int64(overview.usage.segments);
  stored["ring_bytes"] = Json::Int64(overview.usage.ring_bytes);
  stored["dead_letters"] = Json::Int64(overview.usage.dead_letters);
  stored["compacted_seq"] = Json::UInt64(overview.usage.compacted_seq);
  stored["database_bytes"] = Json::Int64(overview.usage.database_bytes);
  stored["wal_bytes"] = Json::Int64(overview.usage.wal_bytes);
  stored["expired_unsent"] = Json::UInt64(overview.usage.expired_unsent);
  stored["corrections"] = Json::UInt64(overview.usage.corrections);
  stored["backup"] = text_or_null(overview.usage.backup);
  stored["backup_running"] = overview.usage.backup_running;
  stored["backup_problem"] = text_or_null(overview.usage.backup_problem);
  if (overview.usage.key == 0) stored["key"] = Json::nullValue;
  else stored["key"] = fmt::format("{:08x}", overview.usage.key);
  stored["resealing"] = overview.usage.is_resealing;
  stored["relief"] = text_or_null(overview.usage.relief);
  const auto written = storage::written_bytes();
  const auto uptime = std::max(std::chrono::duration<double>(now - overview.started_at).count(), 1.0);
  stored["written_bytes"] = Json::Int64(written);
  stored["written_bytes_per_day"] = std::round(static_cast<double>(written) / uptime * 86'400);
  json["mqtt"] = json["buses"] = json["gpio"] = json["sinks"] = json["channels"] = json["missing"] = Json::arrayValue;
  for (const auto& connection : overview.connections) json["mqtt"].append(to_json(connection));
  for (const auto& bus : overview.buses) json["buses"].append(to_json(bus));
  for (const auto& chip : overview.chips) {
    Json::Value one;
    one["chip"] = chip.chip;
    one["last_error"] = text_or_null(chip.last_error);
    json["gpio"].append(one);
  }
  for (const auto& sink : overview.sinks) json["sinks"].append(to_json(sink, overview.usage.last_seq, now));
  for (const auto& channel : overview.channels) json["channels"].append(to_json(channel));
  json["bundle"] = Json::nullValue;
  if (const auto& bundle = overview.bundle) {
    auto& one = json["bundle"];
    one["applied"] = Json::UInt64(bundle->applied);
    one["trial"] = bundle->trial;
    one["refused"] = bundle->refused == 0 ? Json::Value() : Json::Value(Json::UInt64(bundle->refused));
    one["why"] = text_or_null(bundle->why);
    one["last_error"] = text_or_null(bundle->last_error);
  }
  for (const auto& missing : overview.missing) json["missing"].append(missing);
  return json;
}

}  // namespace wattd::api
