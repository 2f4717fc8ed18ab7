#include "sync/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>

#include "telemetry/log.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kDifferences = 100;
constexpr std::chrono::milliseconds kFirstPause = 500ms;
constexpr std::size_t kRows = 5000;  // that are looked at together

/// Why a job is over before its end.
struct GivenUp {
  std::string why;
};

Timestamp hour_of(Timestamp at) { return std::chrono::floor<std::chrono::hours>(at); }

/// Whether a store with such a census holds the value.
bool is_held(const Value& value, bool numbers_only) {
  const auto number = as_number(value);
  return number ? !numbers_only || std::isfinite(*number) : !numbers_only;
}

}  // namespace

std::string_view to_string(JobRequest::Kind kind) {
  switch (kind) {
    case JobRequest::Kind::test: return "test";
    case JobRequest::Kind::backfill: return "backfill";
    case JobRequest::Kind::verify: return "verify";
  }
  return "";
}

Job::Job(JobRequest request, const SinkConfig& config, std::unique_ptr<Source> source, std::unique_ptr<Sink> sink,
         Ledger& ledger, const Clock& clock, std::shared_ptr<Budget> budget)
    : config_(config),
      source_(std::move(source)),
      delivery_(config, std::move(sink), ledger, clock, budget),
      clock_(clock),
      budget_(std::move(budget)),
      status_{.request = request, .began = clock.now(), .done_until = request.range.from} {}

JobStatus Job::status() const {
  const std::scoped_lock lock(mutex_);
  auto status = status_;
  status.sent_readings = delivery_.counts().readings;
  return status;
}

void Job::run(const std::stop_token& stop) {
  std::string result;
  bool failed = false;
  try {
    result = work(stop);
  } catch (const GivenUp& problem) {
    result = problem.why;
    failed = true;
  } catch (const std::exception& problem) {
    result = problem.what();
    failed = true;
  }
  log::notice(fmt::format("{}: {}: {}", config_.id, to_string(status_.request.kind), result), {{"SINK", config_.id}});
  const std::scoped_lock lock(mutex_);
  status_.ended = clock_.now();
  status_.result = result;
  status_.failed = failed;
  status_.last_error.clear();
}

void Job::pause(std::chrono::milliseconds time, const std::stop_token& stop) const {
  std::mutex mutex;
  std::condition_variable_any woken;
  std::unique_lock lock(mutex);
  woken.wait_for(lock, stop, time, [] { return false; });
}

/// Until the next day, on a metered link.
void Job::wait_for_budget(const std::stop_token& stop) {
  while (budget_ && !stop.stop_requested() && budget_->is_spent(source_->calendar().date_of(clock_.now()))) {
    {
      const std::scoped_lock lock(mutex_);
      status_.last_error = "waits for the next day: the budget is spent";
    }
    pause(1s, stop);
  }
}

/// What `work` returns, however long upstream is away. Errors: throws GivenUp for what no patience helps.
template <class Work>
auto Job::until_it_works(const std::stop_token& stop, Work work) {
  for (auto wait = kFirstPause;; wait = std::min(wait * 2, config_.max_pause)) {
    wait_for_budget(stop);
    if (stop.stop_requested()) throw GivenUp{"broken off"};
    auto done = work();
    delivery_.count_traffic(source_->calendar());
    {
      const std::scoped_lock lock(mutex_);
      status_.last_error = done ? "" : done.error().message;
    }
    if (done) return done;
    if (done.error().kind == ErrorKind::unsupported) throw GivenUp{done.error().message};
    delivery_.ask_less();
    pause(std::chrono::duration_cast<std::chrono::milliseconds>(NotTaken(done.error()).wait) + wait, stop);
  }
}

std::string Job::work(const std::stop_token& stop) {
  const auto request = status_.request;
  if (request.kind == JobRequest::Kind::verify && config_.filter.every > 0us)
    throw GivenUp{"it gets one reading of many (every), which cannot be compared; sync backfill sends a range again"};
  if (request.kind == JobRequest::Kind::test) {
    const auto found = delivery_.sink().probe(stop);
    if (!found) throw GivenUp{found.error().message};
    return *found;
  }
  // A day at a time: what is stored of it is decoded once, and then asked for by the hour.
  for (auto day = request.range.from; day < request.range.to;) {
    const auto next =
        std::min<Timestamp>(std::chrono::floor<std::chrono::days>(day) + std::chrono::days{1}, request.range.to);
    if (request.kind == JobRequest::Kind::backfill) {
      const auto devices = until_it_works(stop, [&] { return source_->devices(); });
      for (const auto& device : *devices) send_again(device, {day, next}, stop);
    } else {
      std::map<Timestamp, Census> there;
      for (auto hour = day; hour < next; hour += 1h) {
        there[hour] = *until_it_works(
            stop, [&] { return delivery_.sink().count({hour, std::min<Timestamp>(hour + 1h, next)}, stop); });
      }
      const auto here = count_here({day, next}, there.begin()->second, stop);
      for (const auto& [hour, census] : there) {
        const auto known = here.find(hour);
        compare(hour, known == here.end() ? std::map<std::string, std::uint64_t>{} : known->second, census, stop);
      }
    }
    day = next;
    const std::scoped_lock lock(mutex_);
    status_.done_until = day;
  }
  const auto done = status();
  if (request.kind == JobRequest::Kind::backfill) return fmt::format("{} readings sent", done.sent_readings);
  if (done.different == 0) return fmt::format("{} values here and upstream", done.here);
  return fmt::format("{} values here, {} upstream; {} hours of a device differ{}", done.here, done.there,
                     done.different,
                     request.repair ? fmt::format("; {} readings sent again", done.sent_readings) : std::string());
}

Job::Counts Job::count_here(TimeRange day, const Census& like, const std::stop_token& stop) {
  Counts counts;
  Filter filter(config_.filter);
  const auto step = std::max<std::int64_t>(like.precision.count(), 1);
  const auto devices = until_it_works(stop, [&] { return source_->devices(); });
  for (const auto& device : *devices) {
    std::map<std::string, std::int64_t> last;  // stamp of each field, as precise as upstream's
    for (auto from = day.from; from < day.to;) {
      auto batch = until_it_works(stop, [&] { return source_->batch_of(device, {from, day.to}, kRows); });
      const auto read = batch->size();
      if (read > 0) {
        const auto& last_rows = batch->parts.back();
        from = from_unix_us(last_rows.block->at_us[last_rows.size() - 1]) + 1us;
      }
      filter.apply(*batch);
      for (const auto& rows : batch->parts) {
        for (std::size_t row = 0; row < rows.size(); ++row) {
          const auto reading = rows.reading(row);
          for (const auto& field : reading.fields) {
            if (!is_held(field.value, like.numbers_only)) continue;
            const auto stamp = to_unix_us(reading.at) / step;
            const auto [known, is_new] = last.try_emplace(field.name, stamp);
            if (is_new || std::exchange(known->second, stamp) != stamp) ++counts[hour_of(reading.at)][device];
          }
        }
      }
      if (read < kRows) break;
    }
  }
  return counts;
}

void Job::compare(Timestamp hour, const std::map<std::string, std::uint64_t>& here, const Census& there,
                  const std::stop_token& stop) {
  std::map<std::string, Difference> both;
  for (const auto& [device, count] : here) both[device] = {hour, device, count, 0};
  for (const auto& [device, count] : there.values) {
    auto& one = both.try_emplace(device, Difference{hour, device, 0, 0}).first->second;
    one.there = count;
  }
  for (const auto& [device, one] : both) {
    {
      const std::scoped_lock lock(mutex_);
      status_.here += one.here;
      status_.there += one.there;
      if (one.here == one.there) continue;
      ++status_.different;
      if (status_.differences.size() < kDifferences) status_.differences.push_back(one);
    }
    // More upstream than here is what retention has deleted here, or a store that keeps what comes twice.
    if (status_.request.repair && one.here > one.there) send_again(device, {hour, hour + 1h}, stop);
  }
}

void Job::send_again(const std::string& device, TimeRange range, const std::stop_token& stop) {
  if (delivery_.sink().takes_whole_hours() && range.to - range.from > 1h) {
    for (auto hour = range.from; hour < range.to; hour += 1h)
      send_again(device, {hour, std::min<Timestamp>(hour + 1h, range.to)}, stop);
    return;
  }
  const bool whole = delivery_.sink().takes_whole_hours();
  // The hour that is running is written again by whoever writes what comes.
  if (whole && range.to > hour_of(clock_.now())) return;
  while (range.from < range.to) {
    std::size_t count = 0;
    auto end = range.to;
    bool is_again = false;
    until_it_works(stop, [&]() -> Taken {
      // After a failure fewer are read: the link may not carry as many in time.
      if (std::exchange(is_again, true)) delivery_.forget_packed();
      const auto most = whole ? SIZE_MAX : delivery_.most();
      auto batch = source_->batch_of(device, range, most);
      if (!batch) return std::unexpected(batch.error());
      count = batch->size();
      if (count == 0) return {};
      const auto& last = batch->parts.back();
      end = from_unix_us(last.block->at_us[last.size() - 1]) + 1us;
      const auto parcel = delivery_.pack(std::move(*batch), *source_);
      if (!parcel) return std::unexpected(parcel.error());
      return delivery_.send(*parcel, stop);
    });
    if (count == 0) return;
    if (!whole) {
      range.from = end;
    } else {
      // What has come while it was written is in it by the next time.
      const auto again = until_it_works(stop, [&] { return source_->batch_of(device, range, SIZE_MAX); });
      if (again->size() == count) return;
    }
    if (config_.backfill_rate > 0) pause(std::chrono::milliseconds{1000 * count / config_.backfill_rate}, stop);
  }
}

}  // namespace wattd::sync
