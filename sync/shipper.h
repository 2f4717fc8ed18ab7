#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include "storage/group.h"
#include "sync/delivery.h"
#include "sync/ledger.h"
#include "sync/sink.h"
#include "sync/sink_config.h"
#include "sync/source.h"
#include "telemetry/clock.h"

namespace wattd::sync {

/// How a sink is doing. Threads: any.
struct ShipperStatus {
  std::string id;
  std::string target;
  Stream stream = Stream::readings;
  storage::Cursor cursor;    ///< In numbers of segments, or of changes where the stream is of records.
  std::uint64_t newest = 0;  ///< What there is to be sent up to; counted every ten seconds.
  bool paused = false;
  std::uint64_t sent_samples = 0;
  std::uint64_t sent_readings = 0;
  std::uint64_t refused_readings = 0;
  std::uint64_t failures = 0;
  std::uint64_t bytes = 0;   ///< Sent and received, without what TLS and TCP add.
  std::int64_t budget = 0;   ///< Bytes on a day; 0: any.
  Budget::Spent spent = {};  ///< Of it, by all streams of the sink.
  bool waits_for_budget = false;
  bool rests = false;      ///< Paused, outside of its hours, beyond its budget, or not begun yet.
  std::string last_error;  ///< Empty while it works.
  std::optional<Timestamp> last_success;
  std::uint64_t backfill_segments = 0;     ///< That are sent beside live ones, for they are late.
  std::uint64_t waiting_readings = 0;      ///< Not sent yet, of those in the ring; counted every ten seconds.
  std::optional<Timestamp> waiting_since;  ///< When the oldest of what is not sent yet came; nothing when all is.
  double rate = 0;                         ///< Readings a second, lately.
};

/// How long the oldest of what is not sent yet has been waiting. Units: seconds.
double lag(const ShipperStatus& status, Timestamp now);

/// Sends what lies after a sink's cursor, and keeps trying. Live readings go first; what has become late goes beside
/// them, from what is left of the time. The cursor is settled only some time after the answer; when the store fails in
/// between, everything since is sent again under the same keys.
/// Threads: step() one; wake(), pause(), resume() and status() any.
class Shipper {
 public:
  Shipper(const SinkConfig& config, storage::Cursor cursor, std::unique_ptr<Source> source, std::unique_ptr<Sink> sink,
          Ledger& ledger, const Clock& clock, std::shared_ptr<Budget> budget = {});

  /// Sends at most one batch and says when to be called next.
  Instant step(Instant now);
  void run(const std::stop_token& stop);
  /// There is something new to send.
  void wake();
  /// Sends nothing until it is called again; the cursor remembers that.
  void pause(bool paused);
  ShipperStatus status() const;

 private:
  struct Sent {
    storage::Position end;
    Instant at;
  };
  /// Segments to send, in order.
  struct Lane {
    storage::Position settled = {};  ///< After a failure it goes on from here; a restart knows the segment alone.
    std::uint64_t end = UINT64_MAX;
    storage::Position read = {};  ///< Where the next batch begins.
    std::deque<Sent> unsettled = {};
    std::optional<Timestamp> waiting_since = {};  ///< When the first reading of the batch sent last came.
    bool is_sent() const { return read.seq >= end; }
  };
  /// What to read, and as how much.
  struct Wanted {
    storage::Position from;
    std::uint64_t end = 0;
    std::size_t most = 0;
    bool operator==(const Wanted&) const = default;
  };
  struct Ready {
    Wanted wanted;
    Parcel parcel = {};
  };

  Result<Ready> make_ready(const Wanted& wanted);
  Result<Ready> next_of(const Lane& lane);
  void settle();
  bool can_settle(Instant until) const;
  Instant idle(Instant now, Instant until);
  bool fall_behind(const storage::Batch& batch);
  Lane* late_lane();
  std::expected<bool, NotTaken> send_next(Lane& lane, Instant now);
  Taken send(const Ready& ready, const Lane& lane);
  bool store_began_anew();
  bool is_at_rest();
  bool waits_for_budget();
  void begin_again();
  std::size_t unsettled() const;
  Instant first_settles() const;
  storage::Cursor cursor() const;
  std::uint64_t late_segments() const;
  std::optional<Timestamp> waiting_since() const;
  void count_what_waits(Instant now);
  void save();
  Instant after_failure(const NotTaken& problem, Instant now);
  void after_success(Lane& lane, const storage::Position& end, bool has_sent, Instant now);

  const SinkConfig config_;
  const std::unique_ptr<Source> source_;
  Delivery delivery_;
  Ledger& ledger_;
  const Clock& clock_;
  Lane live_;
  std::optional<Ready> ahead_;  ///< Made ready while the one before was handed over.
  std::vector<Lane> late_;      ///< In order; what lies between them, and up to the live one, is settled.
  Instant begins_at_{};
  Instant paced_until_{};          ///< Until then what comes is gathered.
  Instant late_at_{};              ///< When the next late batch may go, by the limit of their rate.
  int barren_ = 0;                 ///< Failures since something settled, each after something was sent.
  std::size_t window_ = SIZE_MAX;  ///< Batches that may be unsettled: few where the link fails before they settle.
  int failures_in_row_ = 0;
  std::uint64_t breaks_ = 0;  ///< Of the sink's connection, as far as they are known here.
  int breaks_in_row_ = 0;
  Instant heard_at_{};  ///< When the store was known to be there, and not to have been started anew, last.
  Instant saved_at_{};
  Instant counted_at_{};
  Instant peeked_at_{};
  std::uint64_t counted_readings_ = 0;  ///< Sent until then.
  std::stop_token stop_;                ///< Of run(); none in tests that call step().
  std::minstd_rand jitter_;
  std::atomic<bool> paused_;
  bool was_paused_ = paused_;
  const std::shared_ptr<Budget> budget_;
  bool stands_in_ = false;  ///< For readings, while they wait for the budget.

  mutable std::mutex mutex_;
  std::condition_variable woken_;
  bool has_new_ = true;  ///< Guarded by mutex_, as is the next.
  ShipperStatus status_;
};

}  // namespace wattd::sync
