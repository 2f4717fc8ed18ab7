#pragma once
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "storage/reader.h"
#include "telemetry/error.h"

namespace wattd::sync {

/// A reading beside what its device's record said when it came.
struct Outgoing {
  const Reading* reading;
  const storage::DeviceVersion* device;
};

/// Somewhere readings go. At least once: after a crash the same readings may be sent again under the same
/// key (gateway, device, field, timestamp), and the far side counts them once.
/// Threads: its Shipper's thread only.
class Sink {
 public:
  virtual ~Sink() = default;
  /// Errors: retry: nothing is lost, send the same again later (wrong credentials are this, too);
  /// permanent: the far side will never take these readings. A request is given up as soon as `stop` is asked for.
  virtual Result<void> send(std::span<const Outgoing> batch, const std::stop_token& stop) = 0;
  /// Where it goes, for people.
  virtual std::string target() const = 0;
};

}  // namespace wattd::sync
