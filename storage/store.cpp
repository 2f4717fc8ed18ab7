#include "storage/store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "storage/blocks.h"
#include "storage/receipts.h"
#include "storage/rollup.h"
#include "storage/schema.h"
#include "storage/texts.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

void configure_writer(Database& database) {
  database.execute("PRAGMA page_size=4096");
  database.execute("PRAGMA journal_mode=WAL");
  // FULL syncs the WAL at every commit: without it an acknowledged message could be lost to a power cut.
  database.execute("PRAGMA synchronous=FULL");
  database.execute("PRAGMA wal_autocheckpoint=1000");
  database.execute("PRAGMA journal_size_limit=4194304");
}

/// Opens, checks and migrates one candidate; throws SqlError when it is not to be used.
void try_open(const std::string& path) {
  Database database(path, Database::Mode::writer);
  configure_writer(database);
  migrate(database);
}

}  // namespace

struct Store::Statements {
  explicit Statements(Database& database)
      : insert_segment(database,
                       "INSERT INTO segments (hour, committed_at, readings, samples, bytes_before, receipts, body) "
                       "VALUES (?,?,?,?,?,?,?)"),
        insert_dead_letter(database,
                           "INSERT INTO dead_letters (received_at, source, topic, payload, reason, detail) "
                           "VALUES (?,?,?,?,?,?)"),
        mark_replayed(database, "UPDATE dead_letters SET replayed_at=? WHERE id=?"),
        put_alert(database,
                  "INSERT OR REPLACE INTO alerts (alert_id, tenant_id, rule_id, device_id, severity, message, "
                  "actual_value, threshold_value, status, count, last_value, last_seen_at, acknowledged_by, "
                  "acknowledged_at, resolved_at, created_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
        touch_rule(database,
                   "UPDATE rules SET last_triggered_at=?1 WHERE rule_id=?2 AND ifnull(last_triggered_at,0) < ?1"),
        insert_outbox(database, "INSERT OR IGNORE INTO outbox (alert_id, channel, event, created_at) VALUES (?,?,?,?)"),
        put_cursor(database,
                   "INSERT OR REPLACE INTO cursors (sink_id, settled_seq, sent_seq, updated_at) VALUES (?,?,?,?)"),
        pending_hour(database, "INSERT OR REPLACE INTO rollup_pending VALUES (?,?)") {}

  Statement insert_segment, insert_dead_letter, mark_replayed, put_alert, touch_rule, insert_outbox, put_cursor,
      pending_hour;
};

std::string Store::open_first_usable() {
  std::filesystem::create_directories(options_.directory);
  for (int number = 1;; ++number) {
    const auto name = number == 1 ? "wattd.db" : fmt::format("wattd-{}.db", number);
    const auto path = (std::filesystem::path(options_.directory) / name).string();
    try {
      try_open(path);
      ::chmod(path.c_str(), 0600);
      return path;
    } catch (const SqlError& problem) {
      if (problem.to_error().kind != ErrorKind::corrupt || number == 100) throw;
      set_aside_ =
          fmt::format("{} cannot be used ({}); it is left as it is and data goes to a new file", path, problem.what());
      log::error(set_aside_, {{"DATABASE", path}});
    }
  }
}

Store::Store(Options options)
    : options_(std::move(options)),
      path_(open_first_usable()),
      database_(path_, Database::Mode::writer),
      catalogue_(database_) {
  configure_writer(database_);
  sql_ = std::make_unique<Statements>(database_);
  load_usage();
}

Store::~Store() = default;

void Store::load_usage() {
  Statement ring(database_,
                 "SELECT (SELECT bytes_before + length(body) FROM segments ORDER BY seq DESC LIMIT 1), "
                 "(SELECT bytes_before FROM segments ORDER BY seq LIMIT 1), "
                 "(SELECT seq FROM sqlite_sequence WHERE name='segments'), "
                 "(SELECT max(seq) - min(seq) + 1 FROM segments)");
  if (ring.step()) {
    bytes_ever_ = ring.integer(0);
    usage_.ring_bytes = bytes_ever_ - ring.integer(1);
    usage_.last_seq = static_cast<std::uint64_t>(ring.integer(2));
    usage_.segments = ring.integer(3);
  }
  Statement letters(database_, "SELECT count(*), ifnull(sum(length(payload) + length(topic)), 0) FROM dead_letters");
  if (letters.step()) usage_.dead_letters = letters.integer(0), dead_letter_bytes_ = letters.integer(1);
  Statement pending(database_, "SELECT hour, from_seq FROM rollup_pending");
  while (pending.step()) pending_hours_.emplace(pending.integer(0), pending.integer(1));
}

void Store::write_segments(const Group& group, Timestamp now) {
  auto receipts = encode_receipts(group.receipts);
  auto segments = to_segments(group.readings, catalogue_);
  // A group of nothing but dead letters still has to remember what it took.
  if (segments.empty() && !receipts.empty()) segments.emplace_back();
  for (const auto& blocks : segments) {
    std::int64_t readings = 0;
    std::int64_t samples = 0;
    for (const auto& block : blocks) {
      readings += std::ssize(block.at);
      for (const auto& column : block.columns) {
        for (std::size_t i = 0; i < column.values.size(); ++i)
          samples += column.present[i] && is_number(column.values[i]);
      }
    }
    const auto body = encode_segment(blocks);
    const auto hour = blocks.empty() ? hour_of(now) : hour_of(blocks.front().at.front());
    sql_->insert_segment.bind(hour).bind(now).bind(readings).bind(samples).bind(bytes_ever_);
    receipts.empty() ? sql_->insert_segment.bind_null()
                     : sql_->insert_segment.bind(std::span<const std::uint8_t>(receipts));
    sql_->insert_segment.bind(std::span<const std::uint8_t>(body)).run();
    receipts.clear();
    bytes_ever_ += std::ssize(body);
    usage_.ring_bytes += std::ssize(body);
    usage_.segments += 1;
    usage_.last_seq = static_cast<std::uint64_t>(database_.last_insert_rowid());
    if (!blocks.empty()) mark_pending(hour);
  }
}

void Store::mark_pending(std::int64_t hour) {
  const auto from_seq = static_cast<std::int64_t>(usage_.last_seq);
  if (!pending_hours_.emplace(hour, from_seq).second) return;
  sql_->pending_hour.bind(hour).bind(from_seq).run();
}

void Store::write_dead_letters(const std::vector<DeadLetter>& letters) {
  for (const auto& letter : letters) {
    const auto& message = letter.message;
    const auto* payload = reinterpret_cast<const std::uint8_t*>(message.payload.data());
    sql_->insert_dead_letter.bind(message.received).bind(message.source).bind(message.topic);
    sql_->insert_dead_letter.bind(std::span(payload, message.payload.size()));
    sql_->insert_dead_letter.bind(to_string(letter.reason)).bind(letter.detail).run();
    usage_.dead_letters += 1;
    dead_letter_bytes_ += std::ssize(message.payload) + std::ssize(message.topic);
  }
}

void Store::write_alert(const Alert& alert) {
  auto& put = sql_->put_alert;
  put.bind(alert.id).bind(alert.tenant).bind(alert.rule_id).bind(alert.device_id).bind(to_string(alert.severity));
  put.bind(alert.message).bind(alert.actual_value).bind(alert.threshold_value).bind(to_string(alert.status));
  put.bind(static_cast<std::int64_t>(alert.count)).bind(alert.last_value).bind(alert.last_seen_at);
  put.bind_or_null(alert.acknowledged_by).bind(alert.acknowledged_at).bind(alert.resolved_at).bind(alert.created_at);
  put.run();
  sql_->touch_rule.bind(alert.created_at).bind(alert.rule_id).run();
}

void Store::write_cursor(const Cursor& cursor, Timestamp now) {
  sql_->put_cursor.bind(cursor.sink_id).bind(static_cast<std::int64_t>(cursor.settled));
  sql_->put_cursor.bind(static_cast<std::int64_t>(cursor.sent)).bind(now).run();
}

std::uint64_t Store::settled_everywhere() {
  std::uint64_t settled = usage_.last_seq;
  for (const auto& id : sink_ids_) {
    Statement cursor(database_, "SELECT settled_seq FROM cursors WHERE sink_id=?");
    cursor.bind(id);
    settled = std::min(settled, cursor.step() ? static_cast<std::uint64_t>(cursor.integer(0)) : 0);
  }
  return settled;
}

void Store::bound_ring() {
  if (usage_.ring_bytes <= options_.ring_bytes) return;
  // A little more than needed goes at once, so that a full ring does not pay for this at every commit.
  const auto target = bytes_ever_ - options_.ring_bytes + options_.ring_bytes / 64;
  const auto settled = settled_everywhere();
  Statement oldest(database_, "SELECT seq, length(body), hour FROM segments WHERE bytes_before < ? ORDER BY seq");
  oldest.bind(target);
  std::int64_t last = 0;
  std::set<std::int64_t> hours;
  while (oldest.step()) {
    last = oldest.integer(0);
    usage_.ring_bytes -= oldest.integer(1);
    usage_.segments -= 1;
    hours.insert(oldest.integer(2));
    if (static_cast<std::uint64_t>(last) > settled) ++usage_.overwritten_unsent;
  }
  oldest.reset();
  save_rollups_of(hours);
  Statement(database_, "DELETE FROM segments WHERE seq <= ?").bind(last).run();
}

void Store::save_rollups_of(const std::set<std::int64_t>& hours) {
  for (const auto hour : hours) {
    const auto pending = pending_hours_.find(hour);
    if (pending == pending_hours_.end()) continue;
    try {
      roll_up_hour(database_, hour, pending->second);
    } catch (const SqlError& problem) {
      // A rollup that cannot be made must not keep readings from being committed.
      if (problem.to_error().kind != ErrorKind::permanent) throw;
      log::error(fmt::format("an hour's rollups are lost: {}", problem.what()));
    }
    // What comes to this hour from now on is added to the rollup that has just been saved.
    pending->second = static_cast<std::int64_t>(usage_.last_seq) + 1;
    sql_->pending_hour.bind(hour).bind(pending->second).run();
  }
  Statement(database_, "UPDATE ring_floor SET hour=max(hour, ?)").bind(*hours.rbegin()).run();
}

void Store::bound_dead_letters() {
  while (dead_letter_bytes_ > options_.dead_letter_bytes) {
    Statement oldest(database_, "SELECT id, length(payload) + length(topic) FROM dead_letters ORDER BY id LIMIT 1");
    if (!oldest.step()) return;
    const auto id = oldest.integer(0);
    dead_letter_bytes_ -= oldest.integer(1);
    usage_.dead_letters -= 1;
    oldest.reset();
    Statement(database_, "DELETE FROM dead_letters WHERE id=?").bind(id).run();
  }
}

Result<std::uint64_t> Store::commit(const Group& group) { return write(group, true); }

Result<void> Store::check(const Group& group) {
  const auto written = write(group, false);
  if (!written) return std::unexpected(written.error());
  return {};
}

Result<std::uint64_t> Store::write(const Group& group, bool keep) {
  const auto before = std::tuple(usage_, bytes_ever_, dead_letter_bytes_, pending_hours_);
  try {
    const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    Transaction transaction(database_);
    for (const auto& device : group.devices) catalogue_.put(device);
    write_segments(group, now);
    write_dead_letters(group.dead_letters);
    for (const auto id : group.replayed) sql_->mark_replayed.bind(now).bind(id).run();
    for (const auto& alert : group.alerts) write_alert(alert);
    for (const auto& notification : group.outbox) {
      sql_->insert_outbox.bind(notification.alert_id).bind(notification.channel).bind(notification.event);
      sql_->insert_outbox.bind(now).run();
    }
    for (const auto& cursor : group.cursors) write_cursor(cursor, now);
    bound_ring();
    bound_dead_letters();
    if (!keep) {
      catalogue_.roll_back();
      std::tie(usage_, bytes_ever_, dead_letter_bytes_, pending_hours_) = before;
      return usage_.last_seq;
    }
    transaction.commit();
    catalogue_.commit();
    return usage_.last_seq;
  } catch (const SqlError& problem) {
    catalogue_.roll_back();
    std::tie(usage_, bytes_ever_, dead_letter_bytes_, pending_hours_) = before;
    return std::unexpected(problem.to_error());
  }
}

Result<bool> Store::maintain(Timestamp now) {
  // An hour is rolled up a minute after its end; what comes later marks it pending again.
  const auto ended = hour_of(now - std::chrono::minutes{1});
  const auto first = pending_hours_.begin();
  if (first == pending_hours_.end() || first->first >= ended) return false;
  const auto [hour, from_seq] = *first;
  try {
    Transaction transaction(database_);
    roll_up_hour(database_, hour, from_seq);
    Statement(database_, "DELETE FROM rollup_pending WHERE hour=?").bind(hour).run();
    transaction.commit();
  } catch (const SqlError& problem) {
    // One that will never be made is given up, or it would keep all later ones waiting.
    if (problem.to_error().kind == ErrorKind::permanent) pending_hours_.erase(hour);
    return std::unexpected(problem.to_error());
  }
  pending_hours_.erase(hour);
  return !pending_hours_.empty() && pending_hours_.begin()->first < ended;
}

Result<void> Store::provision_rules(const std::vector<Rule>& rules, Timestamp now) {
  try {
    Transaction transaction(database_);
    // Archived first: what still stands in a file is made active again right below.
    database_.execute("UPDATE rules SET status='archived' WHERE origin IS NOT NULL");
    Statement put(database_,
                  "INSERT INTO rules (rule_id, tenant_id, rule_name, description, scope, device_ids, property, "
                  "condition, threshold, severity, status, notification_channels, cooldown_minutes, created_at, "
                  "updated_at, origin) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?14,?14,?15) ON CONFLICT (rule_id) DO UPDATE "
                  "SET rule_name=excluded.rule_name, description=excluded.description, scope=excluded.scope, "
                  "device_ids=excluded.device_ids, property=excluded.property, condition=excluded.condition, "
                  "threshold=excluded.threshold, severity=excluded.severity, status=excluded.status, "
                  "notification_channels=excluded.notification_channels, cooldown_minutes=excluded.cooldown_minutes, "
                  "updated_at=excluded.updated_at, origin=excluded.origin, deleted_at=NULL");
    for (const auto& rule : rules) {
      put.bind(rule.id).bind(rule.tenant).bind(rule.name).bind_or_null(rule.description).bind(to_string(rule.scope));
      put.bind(to_json_array(rule.device_ids)).bind(rule.property).bind(to_string(rule.condition));
      put.bind(rule.threshold).bind(to_string(rule.severity)).bind(to_string(rule.status));
      put.bind(to_json_array(rule.channels)).bind(std::int64_t{rule.cooldown.count()}).bind(now);
      put.bind_or_null(rule.origin).run();
    }
    transaction.commit();
    return {};
  } catch (const SqlError& problem) {
    return std::unexpected(problem.to_error());
  }
}

Result<void> Store::change_alert(const Alert& alert) {
  Group group;
  group.alerts.push_back(alert);
  const auto committed = commit(group);
  if (!committed) return std::unexpected(committed.error());
  return {};
}

std::vector<Cursor> Store::cursors() {
  Statement row(database_, "SELECT sink_id, settled_seq, sent_seq FROM cursors");
  std::vector<Cursor> cursors;
  while (row.step()) {
    cursors.push_back(
        {row.text(0), static_cast<std::uint64_t>(row.integer(1)), static_cast<std::uint64_t>(row.integer(2))});
  }
  return cursors;
}

std::vector<Receipt> Store::recent_receipts(std::size_t count) {
  std::vector<std::vector<Receipt>> newest_first;
  std::size_t found = 0;
  Statement row(database_, "SELECT receipts FROM segments ORDER BY seq DESC LIMIT 5000");
  while (found < count && row.step()) {
    if (row.is_null(0)) continue;
    newest_first.push_back(decode_receipts(row.blob(0)));
    found += newest_first.back().size();
  }
  std::vector<Receipt> receipts;
  for (auto group = newest_first.rbegin(); group != newest_first.rend(); ++group) {
    receipts.insert(receipts.end(), group->begin(), group->end());
  }
  return receipts;
}

}  // namespace wattd::storage
