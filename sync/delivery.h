#pragma once
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "sync/budget.h"
#include "sync/filter.h"
#include "sync/ledger.h"
#include "sync/sink.h"
#include "sync/sink_config.h"
#include "sync/source.h"
#include "telemetry/clock.h"

namespace wattd::sync {

/// A batch that is ready to be handed over.
struct Parcel {
  storage::Batch batch = {};
  std::deque<storage::DeviceVersion> versions = {};
  std::vector<Outgoing> readings = {};  ///< Point into the two above.
  std::string bytes = {};
  std::size_t read = 0;  ///< Readings it was made of, those that the sink does not get included.
};

/// Hands batches over to one sink, in requests as large as the link answers quickly to, and finds what is refused.
/// Threads: one; counts() any.
class Delivery {
 public:
  Delivery(const SinkConfig& config, std::unique_ptr<Sink> sink, Ledger& ledger, const Clock& clock,
           std::shared_ptr<Budget> budget = {});

  /// Threads: any, one at a time.
  Result<Parcel> pack(storage::Batch batch, Source& source);
  /// What pack() made lately is not sent, or is made again.
  void forget_packed() { filter_.forget(); }
  /// Halves what is refused until the guilty readings stand alone; those become dead letters.
  /// Errors: of the sink; retry when it takes nothing at all, for that is not about the readings.
  Taken send(const Parcel& parcel, const std::stop_token& stop);
  /// Readings in the next request.
  std::size_t most() const { return most_; }
  /// A request has failed: the next one is smaller.
  void ask_less();

  /// That the store has answered: readings without anything that it could hold need none.
  std::uint64_t requests() const { return requests_; }

  struct Counts {
    std::uint64_t samples = 0;
    std::uint64_t readings = 0;
    std::uint64_t refused = 0;
    std::uint64_t bytes = 0;  ///< Sent and received.
  };
  Counts counts() const { return {samples_, taken_readings_, refused_readings_, bytes_}; }
  /// Counts what the sink has sent and received since the last time, as of a day of the site's clock.
  void count_traffic(const Calendar& calendar);
  Sink& sink() { return *sink_; }
  const Sink& sink() const { return *sink_; }

 private:
  Taken send_or_bisect(std::span<const Outgoing> part, const Parcel& parcel, const std::stop_token& stop);
  Taken refuses_everything() const;
  void set_aside(const Outgoing& outgoing, const std::string& why);
  void adapt(std::size_t sent, Instant::duration took);
  std::size_t least() const;

  const std::string id_;
  const Stream stream_;
  const std::size_t configured_;
  const std::unique_ptr<Sink> sink_;
  Filter filter_;
  Ledger& ledger_;
  const Clock& clock_;
  std::size_t most_;                                       ///< Fewer than configured while answers are slow.
  std::vector<std::pair<Outgoing, std::string>> refused_;  ///< Of the batch under way, with the store's words.
  bool taken_ = false;                                     ///< The store has taken something of that batch.
  std::size_t refused_in_row_ = 0;                         ///< Readings refused since the last that was taken.
  std::set<std::pair<std::string, Timestamp>> set_aside_;  ///< Refused before; a resend makes no second dead letter.
  std::uint64_t requests_ = 0;
  const std::shared_ptr<Budget> budget_;  ///< None: it is not counted.
  std::atomic<std::uint64_t> samples_ = 0, taken_readings_ = 0, refused_readings_ = 0, bytes_ = 0;
};

}  // namespace wattd::sync
