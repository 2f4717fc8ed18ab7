#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "storage/database.h"
#include "storage/group.h"
#include "telemetry/device.h"
#include "telemetry/reading.h"
#include "telemetry/schema.h"

namespace wattd::storage {

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <class T>
using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

/// The numbers that stand for devices and series in segments, handed out by the one writer.
/// Threads: the writer's. What a transaction added is forgotten again by `roll_back`.
class Catalogue {
 public:
  explicit Catalogue(Database& database);

  /// Writes a device's record, and a new version row when `device.version` is new.
  void put(const Device& device);
  std::uint32_t key_of(std::string_view device_id) const;
  /// Says what is known of a field of a device; nothing when what was known before holds.
  using FactsOf = std::function<std::optional<SeriesFacts>(std::string_view device_id, std::string_view field)>;
  /// Asked from now on for each new series.
  void set_facts(FactsOf facts_of) { facts_of_ = std::move(facts_of); }
  /// Asks about every series there is and writes down what is new. Within a transaction.
  /// Returns the devices with a counter whose differences mean something else now.
  std::vector<std::uint32_t> review_facts();
  /// Numbers of one reading's series, field by field in their order.
  class SeriesOf;
  SeriesOf series_of(std::uint32_t device_key, std::string_view device_id);

  /// Keeps what was added since the last call.
  void commit() { added_.clear(); }
  void roll_back();

 private:
  struct Added {
    std::string device_id;         ///< Or
    std::uint32_t device_key = 0;  ///< the series
    std::string field;             ///< of this field.
  };

  struct Fields {
    TextMap<std::uint32_t> series;
    /// As the last readings said them: devices say the same fields in the same order.
    std::vector<std::pair<std::string, std::uint32_t>> in_order;
  };
  std::uint32_t look_up(Fields& fields, std::uint32_t device_key, std::string_view device_id, std::string_view field,
                        std::size_t place);
  std::uint32_t add_series(std::uint32_t device_key, std::string_view device_id, std::string_view field);
  std::optional<SeriesFacts> facts_of(std::string_view device_id, std::string_view field) const;

  Database& database_;
  TextMap<std::uint32_t> devices_;
  std::unordered_map<std::uint32_t, Fields> series_;
  std::vector<Added> added_;
  FactsOf facts_of_;
  Statement put_device_;
  Statement put_version_;
  Statement put_series_;
};

class Catalogue::SeriesOf {
 public:
  /// The series of the field at `place`; a new one is added with its measurand and unit.
  std::uint32_t operator()(std::string_view field, std::size_t place) {
    const auto& in_order = fields_.in_order;
    if (place < in_order.size() && in_order[place].first == field) [[likely]]
      return in_order[place].second;
    return catalogue_.look_up(fields_, device_key_, device_id_, field, place);
  }

 private:
  friend class Catalogue;
  SeriesOf(Catalogue& catalogue, Fields& fields, std::uint32_t device_key, std::string_view device_id)
      : catalogue_(catalogue), fields_(fields), device_key_(device_key), device_id_(device_id) {}

  Catalogue& catalogue_;
  Fields& fields_;
  std::uint32_t device_key_;
  std::string_view device_id_;
};

/// Every device ever known, deleted ones included.
std::vector<Device> load_devices(Database& database);
std::optional<Device> load_device(Database& database, std::string_view id);
/// Every field that any device ever sent.
std::vector<Series> load_series(Database& database);
/// What each sink still owes.
/// The column `backfill`: `17-40,52-60`. What cannot be read is none: a sink then sends more than it has to.
std::string ranges_text(const std::vector<SegmentRange>& ranges);
std::vector<SegmentRange> ranges_from(std::string_view text);
std::vector<Cursor> load_cursors(Database& database);

}  // namespace wattd::storage
