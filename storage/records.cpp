// What is kept beside readings, in the order in which it changed, for sinks.
#include <fmt/format.h>

#include "storage/alerts.h"
#include "storage/catalogue.h"
#include "storage/guarded.h"
#include "storage/reader.h"
#include "storage/state.h"

namespace wattd::storage {
namespace {

constexpr std::string_view kSequence = "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name='changes'), 0)";
constexpr std::chrono::days kDay{1};

void add(Reading& record, std::string_view name, Value value) {
  record.fields.push_back({std::string(name), std::move(value), Quality::good});
}
void add_text(Reading& record, std::string_view name, const std::string& text) {
  if (!text.empty()) add(record, name, text);
}
void add_time(Reading& record, std::string_view name, const std::optional<Timestamp>& at) {
  if (at) add(record, name, format_iso8601(*at));
}

Reading record_of(const Device& device) {
  Reading record{.device_id = device.id, .at = device.updated_at, .fields = {}};
  add_text(record, "device_name", device.name);
  add_text(record, "device_type", device.type);
  add_text(record, "tenant_id", device.tenant);
  add_text(record, "manufacturer", device.manufacturer);
  add_text(record, "model", device.model);
  add_text(record, "location", device.location);
  add(record, "status", std::string(to_string(device.status)));
  add_text(record, "metadata_json", device.metadata_json);
  add_text(record, "building_id", device.building);
  add_text(record, "parent_device_id", device.parent_id);
  add(record, "meter_role", std::string(to_string(device.role)));
  add_text(record, "formula", device.formula);
  add_time(record, "created_at", device.created_at);
  add_time(record, "updated_at", device.updated_at);
  add_time(record, "deleted_at", device.deleted_at);
  return record;
}

Reading record_of(const Alert& alert) {
  Reading record{.device_id = alert.device_id, .at = alert.created_at, .fields = {}};
  add(record, "alert_id", alert.id);
  add(record, "rule_id", alert.rule_id);
  add_text(record, "tenant_id", alert.tenant);
  add(record, "severity", std::string(to_string(alert.severity)));
  add(record, "message", alert.message);
  add(record, "actual_value", alert.actual_value);
  add(record, "threshold_value", alert.threshold_value);
  add(record, "status", std::string(to_string(alert.status)));
  // Rises, for stores that keep the bigger of two values at one stamp.
  add(record, "resolved", alert.is_active() ? 0.0 : 1.0);
  add(record, "count", static_cast<double>(alert.count));
  add(record, "last_value", alert.last_value);
  add_time(record, "last_seen_at", alert.last_seen_at);
  add_text(record, "acknowledged_by", alert.acknowledged_by);
  add_time(record, "acknowledged_at", alert.acknowledged_at);
  add_text(record, "resolved_by", alert.resolved_by);
  add_time(record, "resolved_at", alert.resolved_at);
  add_time(record, "created_at", alert.created_at);
  return record;
}

/// Of one source, reason and day.
Reading letters_of(const Statement& row) {
  const auto day = from_unix_us(0) + kDay * row.integer(1);
  Reading record{.device_id = row.text(2), .at = day, .fields = {}};
  add(record, "source", row.text(2));
  add(record, "reason", row.text(3));
  add(record, "letters", static_cast<double>(row.integer(4)));
  return record;
}

/// A job of a model, with what came out of it.
constexpr std::string_view kSelectJobs =
    "SELECT seq, changed_at, device_id, created_at, job_id, analysis_type, model_name, status, message, error_message, "
    "parameters, results, accuracy_metrics, progress, execution_time_seconds, date_range_start, date_range_end, "
    "started_at, completed_at, updated_at FROM analytics_jobs, changes "
    "WHERE stream='analytics' AND key=job_id AND seq>? AND seq<=? ORDER BY seq LIMIT ?";

Reading job_of(const Statement& row) {
  Reading record{.device_id = row.text(2), .at = row.time(3), .fields = {}};
  int column = 4;
  for (const auto* name : {"job_id", "analysis_type", "model_name", "status", "message", "error_message", "parameters",
                           "results", "accuracy_metrics"}) {
    if (!row.is_null(column)) add(record, name, row.text(column));
    ++column;
  }
  for (const auto* name : {"progress", "execution_time_seconds"}) {
    if (!row.is_null(column)) add(record, name, row.real(column));
    ++column;
  }
  for (const auto* name : {"date_range_start", "date_range_end", "started_at", "completed_at", "updated_at"})
    add_time(record, name, row.time_if(column++));
  add_time(record, "created_at", row.time(3));
  return record;
}

std::string_view name_of(RecordKind kind) {
  switch (kind) {
    case RecordKind::devices: return "devices";
    case RecordKind::alerts: return "alerts";
    case RecordKind::analytics: return "analytics";
    case RecordKind::dead_letters: break;
  }
  return {};
}

}  // namespace

Result<Batch> Reader::records_after(RecordKind kind, std::uint64_t after, std::uint64_t to, std::size_t most) {
  return guarded([&] {
    Batch batch{.end = {.seq = after}, .parts = {}};
    constexpr std::uint64_t kMost = INT64_MAX;
    const auto bind = [&](Statement& row) {
      row.bind(static_cast<std::int64_t>(after)).bind(static_cast<std::int64_t>(std::min(to, kMost)));
      row.bind(static_cast<std::int64_t>(std::min<std::uint64_t>(most, kMost)));
    };
    const auto add_record = [&](std::int64_t seq, Timestamp changed, Reading record) {
      record.received = changed;
      batch.parts.push_back(rows_of(record));
      batch.end.seq = static_cast<std::uint64_t>(seq);
    };
    if (kind == RecordKind::dead_letters) {
      Statement row(database_,
                    "SELECT last_id, day, source, reason, letters, last_at FROM dead_letter_days "
                    "WHERE last_id>? AND last_id<=? ORDER BY last_id LIMIT ?");
      bind(row);
      while (row.step()) add_record(row.integer(0), row.time(5), letters_of(row));
    } else if (kind == RecordKind::devices) {
      Statement row(database_,
                    "SELECT seq, key, changed_at FROM changes WHERE stream='devices' AND seq>? AND seq<=? "
                    "ORDER BY seq LIMIT ?");
      bind(row);
      while (row.step()) {
        if (const auto device = load_device(database_, row.text(1)))
          add_record(row.integer(0), row.time(2), record_of(*device));
      }
    } else if (kind == RecordKind::analytics) {
      Statement row(database_, kSelectJobs);
      bind(row);
      while (row.step()) add_record(row.integer(0), row.time(1), job_of(row));
    } else {
      auto sql = std::string(kSelectAlerts);
      sql.insert(sql.find(" FROM"), ", seq, changed_at");
      Statement row(database_, sql +
                                   ", changes WHERE stream='alerts' AND key=alert_id AND seq>? AND seq<=? "
                                   "ORDER BY seq LIMIT ?");
      bind(row);
      while (row.step())
        add_record(row.integer(kAlertColumns), row.time(kAlertColumns + 1), record_of(alert_from(row)));
    }
    return batch;
  });
}

Result<std::uint64_t> Reader::last_record(RecordKind kind) {
  return guarded([&] {
    Statement row(database_, kind == RecordKind::dead_letters ? "SELECT ifnull(max(last_id), 0) FROM dead_letter_days"
                                                              : kSequence);
    row.step();
    return static_cast<std::uint64_t>(row.integer(0));
  });
}

Result<std::uint64_t> Reader::records_between(RecordKind kind, std::uint64_t after, std::uint64_t to) {
  return guarded([&] {
    Statement row(database_, kind == RecordKind::dead_letters
                                 ? "SELECT count(*) FROM dead_letter_days WHERE last_id>? AND last_id<=?"
                                 : "SELECT count(*) FROM changes WHERE seq>? AND seq<=? AND stream=?");
    constexpr std::uint64_t kMost = INT64_MAX;
    row.bind(static_cast<std::int64_t>(std::min(after, kMost))).bind(static_cast<std::int64_t>(std::min(to, kMost)));
    if (kind != RecordKind::dead_letters) row.bind(name_of(kind));
    row.step();
    return static_cast<std::uint64_t>(row.integer(0));
  });
}

Result<Timestamp> Reader::raw_floor() {
  return guarded([&] { return from_unix_us(load_number(database_, "raw_floor")); });
}

Result<std::vector<Device>> Reader::device_records() {
  return guarded([&] { return load_devices(database_); });
}

}  // namespace wattd::storage
