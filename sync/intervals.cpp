#include "sync/intervals.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "sync/touched.h"
#include "telemetry/demand.h"
#include "telemetry/measurand.h"
#include "telemetry/meter_tree.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;
using storage::Aggregate;
using storage::Batch;
using storage::Position;
using storage::Rows;

constexpr auto kGrace = 2min;                 // readings of an interval may come so long after its end
constexpr std::chrono::days kLongestGap{31};  // within which the next reading is looked for
constexpr std::size_t kRowsAtLeast = 1000;
constexpr std::uint64_t kSegmentsAhead = 10'000;              // that are looked through together
constexpr std::string_view kCounter = "energy_import_total";  // what a building's energy is told by

struct Statistic {
  std::string_view suffix;
  Aggregate aggregate;
};
constexpr std::array kStatistics{Statistic{"_min", Aggregate::min},     Statistic{"_max", Aggregate::max},
                                 Statistic{"_mean", Aggregate::mean},   Statistic{"_last", Aggregate::last},
                                 Statistic{"_count", Aggregate::count}, Statistic{"_energy", Aggregate::energy}};

class IntervalSource final : public Source {
 public:
  IntervalSource(std::unique_ptr<storage::Reader> reader, Stream stream, const Clock& clock)
      : reader_(std::move(reader)), stream_(stream), clock_(clock) {}

  const Calendar& calendar() const override { return reader_->calendar(); }

  /// The newest segment up to which all readings lie in intervals that are over.
  Result<std::uint64_t> last() override {
    const auto begun = interval_of(clock_.now() - kGrace).from;
    // Asked every second: behind a segment of what is not over nothing changes until it is.
    if (begun == asked_until_ && is_blocked_) return over_;
    const auto found = reader_->last_segment_before(over_, begun);
    const auto newest = reader_->last_segment();
    if (!found || !newest) return found ? newest : found;
    asked_until_ = begun;
    over_ = *found;
    is_blocked_ = *newest > over_;
    return over_;
  }

  Result<Batch> batch_after(const Position& position, std::size_t max_readings, std::uint64_t last) override {
    Batch batch{.end = position, .parts = {}};
    const auto until = this->last();
    if (!until) return std::unexpected(until.error());
    const auto end = std::min(last, *until);
    const bool is_ahead = end <= position.seq;
    if (is_ahead && last != UINT64_MAX) return batch;
    auto touched = is_ahead ? touched_ahead(batch.end) : touched_until(batch.end, end, max_readings);
    if (!touched) return std::unexpected(touched.error());
    if (touched->empty()) return batch;
    const auto devices = reader_->device_records();
    if (!devices) return std::unexpected(devices.error());
    for (const auto& device : *devices) versions_[device.id] = device.version;
    for (auto& [id, starts] : *touched) {
      if (auto added = add_neighbours(id, starts); !added) return std::unexpected(added.error());
    }
    if (stream_ == Stream::summaries) touched = of_buildings(*touched, *devices);
    for (const auto& [id, starts] : *touched) {
      auto rows = stream_ == Stream::summaries ? days_of_building(id, starts, *devices) : intervals_of(id, starts);
      if (!rows) return std::unexpected(rows.error());
      if (rows->block->rows() > 0) batch.parts.push_back(std::move(*rows));
    }
    return batch;
  }

  Result<storage::DeviceVersion> device_version(const std::string& device_id, std::uint32_t version) override {
    if (stream_ == Stream::summaries) return storage::DeviceVersion{.device_id = device_id};
    return reader_->device_version(device_id, version);
  }
  Result<std::uint64_t> readings_in_ring(std::uint64_t after, std::uint64_t to) override {
    // Of what is not over nothing waits.
    const auto until = last();
    if (!until) return std::unexpected(until.error());
    return reader_->readings_in_ring(after, std::min(to, std::max(*until, after)));
  }
  Result<std::vector<std::string>> devices() override { return reader_->devices(); }
  Result<Batch> batch_of(const std::string&, TimeRange, std::size_t) override {
    return fail(ErrorKind::unsupported, "what is sent of intervals follows their readings");
  }

 private:
  TimeRange interval_of(Timestamp at) const {
    return stream_ == Stream::hours ? calendar().hour_of(at) : calendar().day_of(at);
  }

  /// Behind the last segment of what is over come those of what is not, and what is late among them: it does not wait.
  /// How many of them were looked through is the position's `chunk`, which means nothing else there and which a restart
  /// forgets.
  Result<Touched> touched_ahead(Position& position) {
    const auto newest = reader_->last_segment();
    if (!newest) return std::unexpected(newest.error());
    const bool has_looked = position.round <= position.seq;
    Position ahead{.seq = position.seq + (has_looked ? static_cast<std::uint64_t>(position.chunk) : 0)};
    if (ahead.seq >= *newest) return Touched();
    auto touched = touched_after(ahead, std::min(*newest, ahead.seq + kSegmentsAhead), SIZE_MAX);
    if (!touched) return touched;
    position = {.seq = position.seq, .chunk = static_cast<std::int64_t>(ahead.seq - position.seq)};
    const auto begun = interval_of(clock_.now() - kGrace).from;
    for (auto& [id, starts] : *touched) starts.erase(starts.lower_bound(begun), starts.end());
    std::erase_if(*touched, [](const auto& one) { return one.second.empty(); });
    return touched;
  }

  /// An interval that many batches touch is told each time: so much is looked at as touches several of a device.
  Result<Touched> touched_until(Position& position, std::uint64_t end, std::size_t max_readings) {
    const auto ids = reader_->devices();
    if (!ids) return std::unexpected(ids.error());
    return touched_after(position, end, std::max({max_readings, kRowsAtLeast, 3 * ids->size()}));
  }

  /// Of a chunk some may not be over: it is told again after its other readings.
  Result<Touched> touched_after(Position& position, std::uint64_t end, std::size_t most) {
    return sync::touched_after(*reader_, position, end, most, [this](Timestamp at) { return interval_of(at); });
  }

  /// What a counter counts between two readings is shared out over the intervals between them: with one in which a
  /// reading came, those up to the next readings before and behind it are told anew.
  Result<void> add_neighbours(const std::string& device_id, Intervals& starts) {
    const auto all = reader_->series_of(device_id);
    if (!all) return std::unexpected(all.error());
    const auto runs = runs_of(starts);
    for (const auto& one : *all) {
      const auto measurand = find_measurand(one.measurand);
      if (!measurand || !measurand->counter) continue;
      const Series series{device_id, one.field};
      for (const auto& run : runs) {
        const auto before = nearest(series, run.from, true);
        const auto behind = nearest(series, run.to, false);
        if (!before || !behind) return std::unexpected((before ? behind : before).error());
        const auto received = starts.at(run.from);
        if (*before)
          for (auto at = **before; at < run.from; at = interval_of(at).to) starts.emplace(at, received);
        if (*behind)
          for (auto at = run.to; at <= **behind; at = interval_of(at).to) starts.emplace(at, received);
      }
    }
    return {};
  }

  /// The beginning of the nearest interval with readings, before an instant or from it on.
  Result<std::optional<Timestamp>> nearest(const Series& series, Timestamp from, bool before) {
    const auto step = stream_ == Stream::hours ? storage::Step::hours() : storage::Step::days();
    const auto one = before ? interval_of(from - 1us) : interval_of(from);
    for (const auto& range :
         {one, before ? TimeRange{from - kLongestGap, from} : TimeRange{from, from + kLongestGap}}) {
      auto found = reader_->aggregate(series, range, step, SIZE_MAX);
      if (!found) return std::unexpected(found.error());
      std::erase_if(*found, [](const storage::Rollup& rollup) { return rollup.count == 0; });
      if (!found->empty()) return before ? found->back().start : found->front().start;
    }
    return std::nullopt;
  }

  Result<Rows> intervals_of(const std::string& device_id, const Intervals& starts) {
    Rows rows{.device_id = device_id};
    auto block = std::make_shared<storage::Block>();
    std::map<Timestamp, std::size_t> place;
    for (const auto& [start, received] : starts) {
      place.emplace(start, block->rows());
      block->add_row(to_unix_us(start), newest_version(device_id), Quality::good);
      block->received_us.push_back(to_unix_us(std::max(interval_of(start).to, received)));
    }
    const auto all = reader_->series_of(device_id);
    if (!all) return std::unexpected(all.error());
    const auto step = stream_ == Stream::hours ? storage::Step::hours() : storage::Step::days();
    std::vector<bool> holds(block->rows());
    for (const auto& series : *all) {
      const auto first = static_cast<std::uint32_t>(rows.fields.size());
      for (std::uint32_t i = 0; i < kStatistics.size(); ++i) {
        rows.fields.push_back(series.field + std::string(kStatistics[i].suffix));
        (void)block->column(first + i, first + i);
      }
      for (const auto& range : runs_of(starts)) {
        const auto found = reader_->aggregate({device_id, series.field}, range, step, SIZE_MAX);
        if (!found) return std::unexpected(found.error());
        for (const auto& rollup : *found) {
          const auto row = place.find(rollup.start);
          if (row == place.end() || (rollup.count == 0 && !rollup.milli)) continue;
          holds[row->second] = true;
          for (std::uint32_t i = 0; i < kStatistics.size(); ++i) {
            if (const auto value = value_of(rollup, kStatistics[i].aggregate))
              block->column(first + i, first + i).put(row->second, Value(*value), rollup.quality);
          }
        }
      }
    }
    return finished(std::move(rows), std::move(block), holds);
  }

  /// Adjoining intervals as one range each.
  std::vector<TimeRange> runs_of(const Intervals& starts) const {
    std::vector<TimeRange> runs;
    for (const auto& [start, received] : starts) {
      const auto interval = interval_of(start);
      if (!runs.empty() && runs.back().to == interval.from) runs.back().to = interval.to;
      else runs.push_back(interval);
    }
    return runs;
  }

  static Touched of_buildings(const Touched& touched, const std::vector<Device>& devices) {
    Touched buildings;
    for (const auto& device : devices) {
      const auto found = touched.find(device.id);
      if (found == touched.end() || device.building.empty()) continue;
      auto& starts = buildings[device.building];
      for (const auto& [start, received] : found->second) starts[start] = std::max(starts[start], received);
    }
    return buildings;
  }

  Result<Rows> days_of_building(const std::string& building, const Intervals& starts,
                                const std::vector<Device>& devices) {
    Rows rows{.device_id = building, .fields = {"date", "total_consumption_kwh", "peak_demand_kw"}};
    auto block = std::make_shared<storage::Block>();
    for (std::uint32_t i = 0; i < rows.fields.size(); ++i) (void)block->column(i, i);
    std::vector<bool> holds;
    const auto terms = terms_of_building(building, devices);
    for (const auto& [start, received] : starts) {
      if (!terms) break;  // no meter of it counts on its own
      const auto day = calendar().day_of(start);
      constexpr std::array kLengths{std::chrono::minutes{15}};
      const auto blocks = reader_->energy_blocks(*terms, std::string(kCounter), day, kLengths);
      if (!blocks) return std::unexpected(blocks.error());
      const auto row = block->rows();
      block->add_row(to_unix_us(start), 0, Quality::good);
      block->received_us.push_back(to_unix_us(std::max(day.to, received)));
      std::int64_t milli = 0;
      bool counted = false;
      for (const auto& one : blocks->front()) milli += one.milli, counted = counted || one.coverage > 0;
      holds.push_back(counted);
      if (!counted) continue;
      block->column(0, 0).put(row, calendar().date_of(start), Quality::good);
      block->column(1, 1).put(row, static_cast<double>(milli) / 1e6, Quality::good);
      if (const auto peak = peak_of(blocks->front(), day))
        block->column(2, 2).put(row, peak->demand_kw(), Quality::good);
    }
    return finished(std::move(rows), std::move(block), holds);
  }

  /// Without the rows that hold nothing.
  static Rows finished(Rows rows, std::shared_ptr<storage::Block> block, const std::vector<bool>& holds) {
    block->fill_up();
    std::vector<std::uint32_t> kept;
    for (std::uint32_t row = 0; row < holds.size(); ++row) {
      if (holds[row]) kept.push_back(row);
    }
    if (kept.size() == holds.size()) rows.block = std::move(block);
    else rows.block = std::make_shared<const storage::Block>(block->pick(kept));
    return rows;
  }

  std::uint32_t newest_version(const std::string& device_id) const {
    const auto found = versions_.find(device_id);
    return found == versions_.end() ? 0 : found->second;
  }

  const std::unique_ptr<storage::Reader> reader_;
  const Stream stream_;
  const Clock& clock_;
  std::map<std::string, std::uint32_t> versions_;
  std::uint64_t over_ = 0;   ///< What last() found,
  Timestamp asked_until_{};  ///< for intervals before this one,
  bool is_blocked_ = false;  ///< with a segment behind it that is not over.
};

}  // namespace

std::unique_ptr<Source> interval_source(std::unique_ptr<storage::Reader> reader, Stream stream, const Clock& clock) {
  return std::make_unique<IntervalSource>(std::move(reader), stream, clock);
}

std::unique_ptr<Source> interval_source(const storage::Store& store, Stream stream, const Clock& clock) {
  return interval_source(std::make_unique<storage::Reader>(store.path(), store.vault()), stream, clock);
}

}  // namespace wattd::sync
