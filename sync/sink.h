#pragma once
#include <chrono>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/reader.h"
#include "telemetry/error.h"

namespace wattd::sync {

/// A reading beside what its device's record said when it came.
struct Outgoing {
  const Reading* reading;
  const storage::DeviceVersion* device;
};

/// Why readings were not taken, and what would help.
struct NotTaken : Error {
  std::chrono::milliseconds wait{0};  ///< What the store asked to be left alone for.
  bool is_too_large = false;          ///< Fewer of them at once may be taken.

  NotTaken(Error error) : Error(std::move(error)) {}  // NOLINT(google-explicit-constructor): as fail() makes them
};
using Taken = std::expected<void, NotTaken>;

/// Somewhere readings go. At least once: after a crash the same readings may be sent again under the same
/// key (gateway, device, field, timestamp), and the far side counts them once. docs/sync.md says for each kind how.
/// Threads: its Shipper's thread only.
class Sink {
 public:
  virtual ~Sink() = default;
  /// Errors: retry: nothing is lost, send the same again later (wrong credentials are this, too);
  /// permanent: the far side will never take these readings. A request is given up as soon as `stop` is asked for.
  virtual Taken send(std::span<const Outgoing> batch, const std::stop_token& stop) = 0;
  /// Where it goes, for people.
  virtual std::string target() const = 0;
};

}  // namespace wattd::sync
