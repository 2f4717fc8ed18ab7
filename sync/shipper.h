#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "storage/group.h"
#include "storage/reader.h"
#include "storage/store.h"
#include "sync/sink.h"
#include "sync/sink_config.h"
#include "telemetry/clock.h"
#include "telemetry/message.h"

namespace wattd::sync {

/// Where cursors and refused readings are written down; the pipeline's writer does it.
/// Threads: any.
class Ledger {
 public:
  virtual ~Ledger() = default;
  virtual void save(const storage::Cursor& cursor) = 0;
  virtual void set_aside(DeadLetter letter) = 0;
};

/// What there is to ship; the storage room's Reader in life. Threads: one at a time.
class Source {
 public:
  virtual ~Source() = default;
  /// The newest segment.
  virtual Result<std::uint64_t> last() = 0;
  virtual Result<storage::Batch> batch_after(const storage::Position& position, std::size_t max_readings,
                                             std::uint64_t last) = 0;
  virtual Result<storage::DeviceVersion> device_version(const std::string& device_id, std::uint32_t version) = 0;
};
std::unique_ptr<Source> database_source(const storage::Store& store);

/// How a sink is doing. Threads: any.
struct ShipperStatus {
  std::string id;
  std::string target;
  storage::Cursor cursor;
  std::uint64_t sent_samples = 0;
  std::uint64_t sent_readings = 0;
  std::uint64_t refused_readings = 0;
  std::uint64_t failures = 0;
  std::string last_error;  ///< Empty while it works.
  std::optional<Timestamp> last_success;
  std::uint64_t backfill_segments = 0;  ///< That are sent beside live ones, for they are late.
};

/// Sends what lies after a sink's cursor, and keeps trying. Live readings go first; what has become late goes beside
/// them, from what is left of the time. The cursor is settled only some time after the answer; when the store fails in
/// between, everything since is sent again under the same keys.
/// Threads: step() one; wake() and status() any.
class Shipper {
 public:
  Shipper(SinkConfig config, storage::Cursor cursor, std::unique_ptr<Source> source, std::unique_ptr<Sink> sink,
          Ledger& ledger, const Clock& clock);

  /// Sends at most one batch and says when to be called next.
  Instant step(Instant now);
  void run(const std::stop_token& stop);
  /// There is something new to send.
  void wake();
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
    bool is_sent() const { return read.seq >= end; }
  };
  /// What to read, and as how much.
  struct Wanted {
    storage::Position from;
    std::uint64_t end = 0;
    std::size_t most = 0;
    bool operator==(const Wanted&) const = default;
  };
  /// A batch that is ready to be handed over.
  struct Ready {
    Wanted wanted;
    storage::Batch batch = {};
    std::deque<storage::DeviceVersion> versions = {};
    std::vector<Outgoing> readings = {};  ///< Point into the two above.
    std::string parcel = {};
  };

  Result<Ready> make_ready(const Wanted& wanted) const;
  Result<Ready> next_of(const Lane& lane);
  Taken send(const Ready& ready);
  Taken send_or_bisect(std::span<const Outgoing> part, const Ready& ready);
  Taken refuses_everything() const;
  void set_aside(const Outgoing& outgoing, const std::string& why);
  void adapt(std::size_t sent, Instant::duration took);
  void settle(Instant now);
  bool fall_behind(const storage::Batch& batch);
  Lane* late_lane();
  std::expected<bool, NotTaken> send_next(Lane& lane, Instant now);
  std::size_t unsettled() const;
  Instant first_settles() const;
  storage::Cursor cursor() const;
  void save();
  Instant after_failure(const NotTaken& problem, Instant now);
  void after_success(Lane& lane, const storage::Position& end, Instant now);

  const SinkConfig config_;
  std::unique_ptr<Source> source_;
  std::unique_ptr<Sink> sink_;
  Ledger& ledger_;
  const Clock& clock_;
  Lane live_;
  std::optional<Ready> ahead_;  ///< Made ready while the one before was handed over.
  std::vector<Lane> late_;      ///< In order; what lies between them, and up to the live one, is settled.
  Instant begins_at_{};
  Instant late_at_{};              ///< When the next late batch may go, by the limit of their rate.
  std::size_t batch_;              ///< Readings in the next request: fewer than configured while answers are slow.
  int barren_ = 0;                 ///< Failures since something settled, each after something was sent.
  std::size_t window_ = SIZE_MAX;  ///< Batches that may be unsettled: few where the link fails before they settle.
  int failures_in_row_ = 0;
  std::stop_token stop_;                                   ///< Of run(); none in tests that call step().
  std::vector<std::pair<Outgoing, std::string>> refused_;  ///< Of the batch under way, with the store's words.
  bool taken_ = false;                                     ///< The store has taken something of that batch.
  std::size_t refused_in_row_ = 0;                         ///< Readings refused since the last that was taken.
  std::set<std::pair<std::string, Timestamp>> set_aside_;  ///< Refused before; a resend makes no second dead letter.
  std::minstd_rand jitter_;

  mutable std::mutex mutex_;
  std::condition_variable woken_;
  bool has_new_ = true;   ///< Guarded by mutex_.
  ShipperStatus status_;  ///< Guarded by mutex_.
};

}  // namespace wattd::sync
