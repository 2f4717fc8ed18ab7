#include "storage/catalogue.h"

#include <fmt/format.h>

#include <charconv>

#include <set>

#include "storage/texts.h"
#include "telemetry/measurand.h"

namespace wattd::storage {
namespace {

/// The columns measurand, unit, modulus, most_an_hour and resolution.
Statement& bind_facts(Statement& statement, const SeriesFacts& facts) {
  const auto measurand = find_measurand(facts.measurand);
  measurand ? statement.bind(facts.measurand).bind(measurand->unit) : statement.bind_null().bind_null();
  for (const auto value : {facts.counter.modulus, facts.counter.most_an_hour, facts.counter.resolution})
    value > 0 ? statement.bind(value) : statement.bind_null();
  return statement;
}

bool is_counter(std::string_view name) {
  const auto measurand = find_measurand(name);
  return measurand && measurand->counter;
}

}  // namespace

Catalogue::Catalogue(Database& database)
    : database_(database),
      put_device_(database,
                  "INSERT INTO devices (device_id, tenant_id, device_name, device_type, manufacturer, model, location, "
                  "status, metadata_json, created_at, updated_at, deleted_at, building_id, parent_device_id, "
                  "meter_role, formula, stamp, schema_version, enrichment_status, version, origin) "
                  "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
                  "ON CONFLICT (device_id) DO UPDATE SET tenant_id=excluded.tenant_id, "
                  "device_name=excluded.device_name, device_type=excluded.device_type, "
                  "manufacturer=excluded.manufacturer, model=excluded.model, location=excluded.location, "
                  "status=excluded.status, metadata_json=excluded.metadata_json, updated_at=excluded.updated_at, "
                  "deleted_at=excluded.deleted_at, building_id=excluded.building_id, "
                  "parent_device_id=excluded.parent_device_id, meter_role=excluded.meter_role, "
                  "formula=excluded.formula, stamp=excluded.stamp, schema_version=excluded.schema_version, "
                  "enrichment_status=excluded.enrichment_status, version=excluded.version, origin=excluded.origin "
                  "RETURNING device_key"),
      put_version_(database, "INSERT OR IGNORE INTO device_versions VALUES (?,?,?,?,?,?,?)"),
      put_series_(database,
                  "INSERT INTO series (device_key, field, measurand, unit, modulus, most_an_hour, resolution) VALUES "
                  "(?,?,?,?,?,?,?)") {
  Statement devices(database_, "SELECT device_id, device_key FROM devices");
  while (devices.step()) devices_.emplace(devices.text(0), static_cast<std::uint32_t>(devices.integer(1)));
  Statement series(database_, "SELECT device_key, field, series_id FROM series");
  while (series.step()) {
    series_[static_cast<std::uint32_t>(series.integer(0))].series.emplace(
        series.text(1), static_cast<std::uint32_t>(series.integer(2)));
  }
}

void Catalogue::put(const Device& device) {
  put_device_.bind(device.id).bind(device.tenant).bind(device.name).bind(device.type);
  put_device_.bind_or_null(device.manufacturer).bind_or_null(device.model).bind_or_null(device.location);
  put_device_.bind(to_string(device.status)).bind(device.metadata_json);
  put_device_.bind(device.created_at).bind(device.updated_at).bind(device.deleted_at);
  put_device_.bind_or_null(device.building).bind_or_null(device.parent_id).bind(to_string(device.role));
  put_device_.bind_or_null(device.formula)
      .bind(std::string_view(device.stamp == StampSource::device ? "device" : "arrival"));
  put_device_.bind(device.schema_version).bind(to_string(device.enrichment));
  put_device_.bind(static_cast<std::int64_t>(device.version)).bind_or_null(device.origin);
  put_device_.step();
  const auto key = static_cast<std::uint32_t>(put_device_.integer(0));
  put_device_.run();
  if (devices_.emplace(device.id, key).second) added_.push_back({.device_id = device.id});

  put_version_.bind(std::int64_t{key}).bind(std::int64_t{device.version}).bind(device.type);
  put_version_.bind_or_null(device.location).bind(device.schema_version).bind(to_string(device.enrichment));
  put_version_.bind(device.updated_at).run();
}

std::uint32_t Catalogue::key_of(std::string_view device_id) const {
  const auto found = devices_.find(device_id);
  if (found == devices_.end()) throw SqlError(1, fmt::format("device {} has no record", device_id));
  return found->second;
}

Catalogue::SeriesOf Catalogue::series_of(std::uint32_t device_key, std::string_view device_id) {
  return {*this, series_[device_key], device_key, device_id};
}

std::uint32_t Catalogue::look_up(Fields& fields, std::uint32_t device_key, std::string_view device_id,
                                 std::string_view field, std::size_t place) {
  auto& in_order = fields.in_order;
  const auto known = fields.series.find(field);
  const auto id = known != fields.series.end() ? known->second : add_series(device_key, device_id, field);
  if (place >= in_order.size()) in_order.resize(place + 1);
  in_order[place] = {std::string(field), id};
  return id;
}

std::optional<SeriesFacts> Catalogue::facts_of(std::string_view device_id, std::string_view field) const {
  // The device type's schema knows best; a field may also be called after its measurand.
  auto facts = facts_of_ ? facts_of_(device_id, field) : SeriesFacts{};
  if (!facts) return facts;
  if (facts->measurand.empty()) facts->measurand = field;
  if (!find_measurand(facts->measurand)) facts->measurand.clear();
  return facts;
}

std::uint32_t Catalogue::add_series(std::uint32_t device_key, std::string_view device_id, std::string_view field) {
  put_series_.bind(std::int64_t{device_key}).bind(field);
  auto facts = facts_of(device_id, field);
  if (!facts) facts = SeriesFacts{.measurand = find_measurand(field) ? std::string(field) : std::string{}};
  bind_facts(put_series_, *facts).run();
  const auto id = static_cast<std::uint32_t>(database_.last_insert_rowid());
  series_[device_key].series.emplace(std::string(field), id);
  added_.push_back({.device_key = device_key, .field = std::string(field)});
  return id;
}

std::vector<std::uint32_t> Catalogue::review_facts() {
  struct Change {
    std::int64_t series_id;
    SeriesFacts facts;
  };
  std::vector<Change> changes;
  std::set<std::uint32_t> devices;
  Statement row(database_,
                "SELECT series_id, device_key, device_id, field, ifnull(measurand,''), ifnull(modulus,0), "
                "ifnull(most_an_hour,0), ifnull(resolution,0) FROM series JOIN devices USING (device_key)");
  while (row.step()) {
    const SeriesFacts known{.measurand = row.text(4), .counter = {row.real(5), row.real(6), row.real(7)}};
    auto facts = facts_of(row.text(2), row.text(3));
    if (!facts || facts == known) continue;
    const bool counts = is_counter(facts->measurand);
    if (counts != is_counter(known.measurand) || (counts && facts->counter != known.counter))
      devices.insert(static_cast<std::uint32_t>(row.integer(1)));
    changes.push_back({row.integer(0), *std::move(facts)});
  }
  Statement update(database_,
                   "UPDATE series SET measurand=?, unit=?, modulus=?, most_an_hour=?, resolution=? WHERE series_id=?");
  for (const auto& change : changes) bind_facts(update, change.facts).bind(change.series_id).run();
  return {devices.begin(), devices.end()};
}

void Catalogue::roll_back() {
  for (const auto& added : added_) {
    if (added.device_id.empty()) {
      auto& fields = series_[added.device_key];
      fields.series.erase(added.field);
      fields.in_order.clear();
    } else {
      devices_.erase(added.device_id);
    }
  }
  added_.clear();
}

namespace {

constexpr std::string_view kSelectDevices =
    "SELECT device_id, device_name, device_type, tenant_id, ifnull(building_id,''), ifnull(location,''), "
    "ifnull(manufacturer,''), ifnull(model,''), ifnull(metadata_json,'{}'), status, schema_version, "
    "enrichment_status, stamp, meter_role, ifnull(parent_device_id,''), ifnull(formula,''), "
    "ifnull(origin,''), version, created_at, updated_at, deleted_at FROM devices";

Device device_from(const Statement& row) {
  Device device;
  device.id = row.text(0), device.name = row.text(1), device.type = row.text(2), device.tenant = row.text(3);
  device.building = row.text(4), device.location = row.text(5), device.manufacturer = row.text(6);
  device.model = row.text(7), device.metadata_json = row.text(8);
  device.status = device_status_from(row.text(9)).value_or(DeviceStatus::active);
  device.schema_version = row.text(10);
  device.enrichment = named<EnrichmentStatus>(row.text(11), 5).value_or(EnrichmentStatus::skipped);
  device.stamp = row.text(12) == "arrival" ? StampSource::arrival : StampSource::device;
  device.role = named<MeterRole>(row.text(13), 3).value_or(MeterRole::main);
  device.parent_id = row.text(14), device.formula = row.text(15), device.origin = row.text(16);
  device.version = static_cast<std::uint32_t>(row.integer(17));
  device.created_at = row.time(18), device.updated_at = row.time(19), device.deleted_at = row.time_if(20);
  return device;
}

}  // namespace

std::vector<Device> load_devices(Database& database) {
  Statement row(database, fmt::format("{} ORDER BY device_id", kSelectDevices));
  std::vector<Device> devices;
  while (row.step()) devices.push_back(device_from(row));
  return devices;
}

std::optional<Device> load_device(Database& database, std::string_view id) {
  Statement row(database, fmt::format("{} WHERE device_id=?", kSelectDevices));
  row.bind(id);
  return row.step() ? std::optional(device_from(row)) : std::nullopt;
}

std::vector<Series> load_series(Database& database) {
  Statement row(database, "SELECT device_id, field FROM series JOIN devices USING (device_key)");
  std::vector<Series> series;
  while (row.step()) series.push_back({row.text(0), row.text(1)});
  return series;
}

std::string ranges_text(const std::vector<SegmentRange>& ranges) {
  std::string text;
  for (const auto& [from, to] : ranges) text += fmt::format("{}{}-{}", text.empty() ? "" : ",", from, to);
  return text;
}

std::vector<SegmentRange> ranges_from(std::string_view text) {
  std::vector<SegmentRange> ranges;
  const auto* at = text.data();
  const auto* const end = at + text.size();
  while (at != end) {
    SegmentRange range;
    const auto from = std::from_chars(at, end, range.from);
    if (from.ec != std::errc{} || from.ptr == end || *from.ptr != '-') return {};
    const auto to = std::from_chars(from.ptr + 1, end, range.to);
    const bool goes_on = to.ec == std::errc{} && to.ptr != end;
    if (goes_on && (*to.ptr != ',' || to.ptr + 1 == end)) return {};
    const bool rises = range.from < range.to && (ranges.empty() || ranges.back().to < range.from);
    if (to.ec != std::errc{} || !rises) return {};
    ranges.push_back(range);
    at = goes_on ? to.ptr + 1 : end;
  }
  return ranges;
}

std::vector<Cursor> load_cursors(Database& database) {
  Statement row(database,
                "SELECT sink_id, settled_seq, sent_seq, ifnull(backfill,''), paused, spent_on, spent_bytes "
                "FROM cursors");
  std::vector<Cursor> cursors;
  while (row.step()) {
    cursors.push_back({row.text(0), static_cast<std::uint64_t>(row.integer(1)),
                       static_cast<std::uint64_t>(row.integer(2)), ranges_from(row.text(3)), row.integer(4) != 0,
                       row.text(5), row.integer(6)});
  }
  return cursors;
}

}  // namespace wattd::storage
