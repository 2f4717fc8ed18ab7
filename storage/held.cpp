#include "storage/held.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "storage/segment.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

constexpr std::size_t kBytesAtOnce = 256 << 10;
constexpr int kNewestShown = 50;

void shift(Block& block, std::int64_t by_us) {
  for (auto& at : block.at_us) at += by_us;
  for (auto& received : block.received_us) received += by_us;
}

/// Replaces the flag that nothing vouches for the stamp by what is true now.
void requalify(Block& block, bool estimated) {
  auto any = Quality::good;
  for (auto& quality : block.qualities) {
    const auto rest = static_cast<std::uint16_t>(quality) & ~static_cast<std::uint16_t>(Quality::clock_unsynced);
    quality = static_cast<Quality>(rest);
    if (estimated) quality |= Quality::estimated | Quality::clock_unsynced;
    any |= quality;
  }
  if (any == Quality::good) block.qualities.clear();
}

}  // namespace

Held::Held(Database& database)
    : database_(database), insert_(database, "INSERT INTO held (boot_key, until_us, readings, body) VALUES (?,?,?,?)") {
  count();
}

void Held::count() {
  Statement sum(database_, "SELECT ifnull(sum(readings), 0), ifnull(sum(length(body)), 0) FROM held");
  if (sum.step()) state_.readings = sum.integer(0), state_.bytes = sum.integer(1);
  refresh_releasable();
}

void Held::refresh_releasable() {
  Statement any(database_,
                "SELECT 1 FROM boots WHERE began_at IS NOT NULL AND EXISTS "
                "(SELECT 1 FROM held WHERE held.boot_key=boots.boot_key) LIMIT 1");
  state_.is_releasable = state_.readings > 0 && any.step();
}

Held::Noted Held::note(const Boot& boot) {
  Statement row(database_,
                "INSERT INTO boots (boot_id, assumed_at, began_at) VALUES (?,?,?) ON CONFLICT (boot_id) DO UPDATE "
                "SET began_at=ifnull(began_at, excluded.began_at) RETURNING boot_key, assumed_at");
  row.bind(boot.id).bind(boot.assumed).bind(boot.known);
  row.step();
  return {row.integer(0), row.time(1)};
}

void Held::put(std::vector<Block> blocks, const Boot& boot, std::int64_t budget) {
  const auto key = note(boot).key;
  std::int64_t readings = 0;
  auto until = INT64_MIN;
  for (auto& block : blocks) {
    shift(block, -to_unix_us(boot.assumed));
    readings += std::ssize(block.at_us);
    until = std::max(until, std::ranges::max(block.at_us));
  }
  const auto body = database_.vault().seal({Vault::Kind::held, key, until}, encode_segment(blocks));
  insert_.bind(key).bind(until).bind(readings).bind(std::span(body)).run();
  state_.readings += readings;
  state_.bytes += std::ssize(body);
  state_.is_releasable = state_.is_releasable || boot.known.has_value();
  while (state_.bytes > budget) {
    Statement oldest(database_, "SELECT id, readings, length(body) FROM held ORDER BY id LIMIT 1");
    if (!oldest.step()) return;
    const auto id = oldest.integer(0);
    state_.readings -= oldest.integer(1), state_.lost += static_cast<std::uint64_t>(oldest.integer(1));
    state_.bytes -= oldest.integer(2);
    oldest.reset();
    Statement(database_, "DELETE FROM held WHERE id=?").bind(id).run();
    log::error("there is no room for more readings without a trusted clock; the oldest of them were deleted");
  }
}

void Held::know(const Boot& boot) {
  if (!boot.known) return;
  place_earlier_boots(note(boot).key, *boot.known);
  // Messages that were refused meanwhile are put right at once; where their boot was is then of no more interest.
  database_.execute(
      "UPDATE dead_letters SET received_at=received_at-assumed_at+began_at FROM boots "
      "WHERE boots.boot_key=dead_letters.boot_key AND began_at IS NOT NULL");
  database_.execute("UPDATE dead_letters SET boot_key=NULL WHERE boot_key IS NOT NULL");
  forget_boots();
  refresh_releasable();
}

void Held::place_earlier_boots(std::int64_t key, Timestamp began) {
  Statement earlier(database_,
                    "SELECT boot_key, (SELECT max(until_us) FROM held WHERE held.boot_key=boots.boot_key) FROM boots "
                    "WHERE boot_key<? AND began_at IS NULL ORDER BY boot_key DESC");
  earlier.bind(key);
  Statement place(database_, "UPDATE boots SET began_at=?, estimated=1 WHERE boot_key=?");
  while (earlier.step()) {
    if (earlier.is_null(1)) continue;
    // Nobody knows for how long the machine was off: for no time at all.
    began -= std::chrono::microseconds{earlier.integer(1) + 1};
    place.bind(began).bind(earlier.integer(0)).run();
    log::notice(fmt::format("readings of a boot whose time was never known are placed from {} on, as estimated",
                            format_iso8601(began)));
  }
}

void Held::forget_boots() {
  if (state_.readings == 0) database_.execute("DELETE FROM boots");
}

std::vector<Block> Held::release() {
  std::map<std::uint32_t, Block> devices;
  Statement row(
      database_,
      "SELECT id, readings, body, began_at, estimated, boot_key, until_us FROM held JOIN boots USING (boot_key) "
      "WHERE began_at IS NOT NULL ORDER BY id");
  std::vector<std::int64_t> taken;
  std::size_t bytes = 0;
  while (bytes < kBytesAtOnce && row.step()) {
    taken.push_back(row.integer(0));
    bytes += row.blob(2).size();
    state_.readings -= row.integer(1);
    auto blocks =
        decode_segment(database_.vault().open({Vault::Kind::held, row.integer(5), row.integer(6)}, row.blob(2)));
    if (!blocks) {
      log::error("held readings are damaged and lost: " + blocks.error().message);
      continue;
    }
    for (auto& block : *blocks) {
      shift(block, row.integer(3));
      requalify(block, row.integer(4) != 0);
      auto& device = devices[block.device_key];
      device.device_key = block.device_key;
      device.append(block);
    }
  }
  row.reset();
  state_.bytes -= static_cast<std::int64_t>(bytes);
  Statement gone(database_, "DELETE FROM held WHERE id=?");
  for (const auto id : taken) gone.bind(id).run();
  refresh_releasable();
  forget_boots();
  std::vector<Block> released;
  for (auto& [key, block] : devices) released.push_back(std::move(block));
  return released;
}

std::vector<Block> held_of(Database& database, std::uint32_t device_key) {
  std::vector<Block> found;
  Statement row(
      database,
      "SELECT body, assumed_at, boot_key, until_us FROM held JOIN boots USING (boot_key) ORDER BY id DESC LIMIT ?");
  row.bind(std::int64_t{kNewestShown});
  while (row.step()) {
    const auto body = database.vault().open({Vault::Kind::held, row.integer(2), row.integer(3)}, row.blob(0));
    auto blocks = decode_segment(body, [&](std::uint32_t key) { return key == device_key; });
    if (!blocks) continue;
    for (auto& block : *blocks) {
      shift(block, row.integer(1));
      found.push_back(std::move(block));
    }
  }
  return found;
}

}  // namespace wattd::storage
