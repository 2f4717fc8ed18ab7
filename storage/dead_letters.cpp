#include "storage/dead_letters.h"

#include <algorithm>
#include <span>
#include <vector>

#include "telemetry/bytes.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

DeadLetters::DeadLetters(Database& database)
    : database_(database),
      insert_(database,
              "INSERT INTO dead_letters (received_at, source, topic, payload, reason, detail, boot_key) "
              "VALUES (?,?,?,?,?,?,?)"),
      mark_replayed_(database, "UPDATE dead_letters SET replayed_at=? WHERE id=?"),
      seal_(database, "UPDATE dead_letters SET payload=?, detail='', sealed=1 WHERE id=?") {
  count();
}

void DeadLetters::count() {
  Statement sum(database_, "SELECT count(*), ifnull(sum(length(payload) + length(topic)), 0) FROM dead_letters");
  if (sum.step()) state_ = {sum.integer(0), sum.integer(1)};
}

void DeadLetters::put(const DeadLetter& letter, Timestamp received, std::optional<std::int64_t> boot_key) {
  const auto& message = letter.message;
  const bool sealed = database_.vault().seals();
  insert_.bind(received).bind(message.source).bind(message.topic);
  insert_.bind(sealed ? std::span<const std::uint8_t>{} : bytes_of(message.payload));
  insert_.bind(to_string(letter.reason)).bind(sealed ? "" : letter.detail);
  boot_key ? insert_.bind(*boot_key) : insert_.bind_null();
  insert_.run();
  // Its number goes into the seal.
  const auto stored = sealed ? seal(database_.last_insert_rowid(), letter) : std::ssize(message.payload);
  state_.letters += 1;
  state_.bytes += stored + std::ssize(message.topic);
}

std::int64_t DeadLetters::seal(std::int64_t id, const DeadLetter& letter) {
  ByteWriter plain;
  plain.text(letter.detail);
  plain.raw(letter.message.payload.data(), letter.message.payload.size());
  const auto sealed = database_.vault().seal({Vault::Kind::letter, id}, plain.bytes());
  seal_.bind(std::span(sealed)).bind(id).run();
  return std::ssize(sealed);
}

void DeadLetters::mark_replayed(std::int64_t id, Timestamp now) { mark_replayed_.bind(now).bind(id).run(); }

void DeadLetters::bound(std::int64_t budget) {
  while (state_.bytes > budget) {
    Statement oldest(database_, "SELECT id, length(payload) + length(topic) FROM dead_letters ORDER BY id LIMIT 1");
    if (!oldest.step()) return;
    const auto id = oldest.integer(0);
    state_.bytes -= oldest.integer(1);
    state_.letters -= 1;
    oldest.reset();
    Statement(database_, "DELETE FROM dead_letters WHERE id=?").bind(id).run();
  }
}

std::optional<std::int64_t> DeadLetters::reseal_after(std::int64_t id, int most) {
  Statement row(database_, std::string(kSelectDeadLetters) + " WHERE id>? ORDER BY id LIMIT ?");
  row.bind(id).bind(std::int64_t{most});
  std::vector<StoredDeadLetter> found;
  while (row.step()) {
    const bool is_sealed = row.integer(9) != 0;
    const bool is_current = is_sealed && sealed_by(row.blob(4)) == database_.vault().current();
    id = row.integer(0);
    // What does not open stays as it is: it may once, with another key or another disk.
    const bool opens = !is_sealed || !database_.vault().open({Vault::Kind::letter, id}, row.blob(4)).empty();
    if (is_current || !opens) found.push_back({.id = 0, .letter = {}, .reason = {}, .replayed_at = {}});
    else found.push_back(dead_letter_from(database_.vault(), row));
  }
  row.reset();
  for (const auto& stored : found) {
    if (stored.id != 0) seal(stored.id, stored.letter);
  }
  return found.empty() ? std::nullopt : std::optional(id);
}

StoredDeadLetter dead_letter_from(const Vault& vault, const Statement& row) {
  StoredDeadLetter stored;
  stored.id = row.integer(0);
  auto& message = stored.letter.message;
  message = {.source = row.text(2), .topic = row.text(3), .received = row.time(1)};
  if (!row.is_null(8)) message.received_quality = Quality::clock_unsynced;
  stored.reason = row.text(5);
  stored.letter.detail = row.text(6);
  stored.replayed_at = row.time_if(7);
  std::span<const std::uint8_t> payload = row.blob(4);
  Vault::Bytes opened;
  if (row.integer(9) != 0) {
    opened = vault.open({Vault::Kind::letter, stored.id}, payload);
    try {
      ByteReader in(opened);
      stored.letter.detail = in.text();
      payload = in.peek();
    } catch (const BadBytes&) {
      payload = {};
      stored.letter.detail = "it does not open: it was damaged, moved, or its key is not here";
    }
  }
  message.payload.assign(reinterpret_cast<const char*>(payload.data()), payload.size());
  return stored;
}

}  // namespace wattd::storage
