#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/batch.h"
#include "telemetry/calendar.h"
#include "telemetry/error.h"

namespace wattd::sync {

/// A reading on its way, beside what its device's record said when it came.
struct Outgoing {
  const storage::Rows* rows;
  std::size_t row;  ///< Of the block.
  const storage::DeviceVersion* device;

  const std::string& device_id() const { return rows->device_id; }
  Timestamp at() const { return from_unix_us(rows->block->at_us[row]); }
  Quality quality() const { return rows->block->quality(row); }
  Reading reading() const { return rows->reading(row); }
};

/// Why readings were not taken, and what would help.
struct NotTaken : Error {
  std::chrono::milliseconds wait{0};  ///< What the store asked to be left alone for.
  bool is_too_large = false;          ///< Fewer of them at once may be taken.

  NotTaken(Error error) : Error(std::move(error)) {}  // NOLINT(google-explicit-constructor): as fail() makes them
};
using Taken = std::expected<void, NotTaken>;

/// How much a store holds of an hour.
struct Census {
  std::map<std::string, std::uint64_t> values;  ///< By device: how many values of the gateway's readings.
  bool numbers_only = true;                     ///< Of readings it gets, and keeps, finite numbers alone.
  std::chrono::microseconds precision{1};       ///< Of its stamps: readings that fall together are one.
};

/// Somewhere readings go. At least once: after a crash the same readings may be sent again under the same
/// key (gateway, device, field, timestamp), and the far side counts them once. docs/sync.md says for each kind how.
class Sink {
 public:
  virtual ~Sink() = default;
  /// The bytes in which these readings travel, as far as they can be made ready before their turn.
  /// Threads: any, beside each other and deliver().
  virtual std::string pack(std::span<const Outgoing> batch) const = 0;
  /// False for a sink whose pack() makes nothing ready; of others an empty pack() is one without anything in it that
  /// the store could hold.
  virtual bool packs() const { return true; }
  /// True for one that writes files over each other: it gets all readings of an hour (UTC) of a device or none.
  virtual bool takes_whole_hours() const { return false; }
  /// Hands over what pack() made of the batch. A request is given up as soon as `stop` is asked for.
  /// Errors: retry: nothing is lost, send the same again later (wrong credentials are this, too);
  /// permanent: the far side will never take these readings. Threads: its Shipper's only.
  virtual Taken deliver(std::string_view parcel, std::span<const Outgoing> batch, const std::stop_token& stop) = 0;
  /// Where it goes, for people.
  virtual std::string target() const = 0;
  /// How often a connection that the store had not closed itself had to be opened anew: it may have been started anew.
  virtual std::uint64_t breaks() const { return 0; }
  /// Looks whether the store is there still, by the connection over which it answered last: what it has answered for
  /// settles only then. Nothing to look at for one that has answered once it was on a disk.
  virtual Taken confirm(const std::stop_token&) { return {}; }
  /// Is called about once a second while nothing is sent. Threads: as deliver().
  virtual void tend(const std::stop_token&) {}
  /// Bytes that it has sent and received so far: without those that TLS, TCP and IP add.
  virtual std::uint64_t traffic() const { return 0; }
  /// Whether it can be reached and would take readings, without sending any. Shape: one line for people.
  virtual std::expected<std::string, NotTaken> probe(const std::stop_token& stop) = 0;
  /// What it holds of the gateway's readings in a range. Errors: unsupported where it cannot be asked.
  virtual std::expected<Census, NotTaken> count(TimeRange, const std::stop_token&) {
    return fail(ErrorKind::unsupported, target() + " cannot be asked what it holds");
  }
};

}  // namespace wattd::sync
