#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "telemetry/quality.h"
#include "telemetry/time.h"

namespace wattd {

/// Payloads beyond this are cut off, one byte longer than this: enough to see that they were too long.
inline constexpr std::size_t kMaxPayload = 1 << 20;

/// A message as a source delivered it, before anyone has looked inside.
struct Message {
  std::string source;  ///< The configured id of the connection it came by.
  std::string topic;
  std::string payload;  ///< Verbatim bytes.
  Timestamp received{};
  Quality received_quality = Quality::good;  ///< What has to be said against that stamp.
  std::uint16_t packet_id = 0;               ///< MQTT's; 0 when the source has none.
  std::uint32_t epoch = 0;                   ///< Another one at every connect of the source.
  bool resumed = true;                       ///< The connection went on with a session; false: packet ids began anew.
};

/// Proof that a message was taken: what a redelivery of it would look like. Packet id 0 stands for the beginning of
/// a new session: receipts of the source before it mean nothing any more.
struct Receipt {
  std::string source;
  std::uint16_t packet_id = 0;
  std::uint32_t payload_hash = 0;
  bool operator==(const Receipt&) const = default;
};

/// Why a message became a dead letter.
enum class Rejection {
  parse_error,        ///< The payload is not what its format says.
  validation_error,   ///< The device's schema refuses it.
  write_error,        ///< The database would not take it, however often it was tried.
  timestamp_error,    ///< Its own stamp lies in the future or before the raw retention.
  device_error,       ///< No device may speak so: deleted, unknown, or an unusable id.
  upstream_rejected,  ///< A sink refused it for good.
};
std::string_view to_string(Rejection reason);
/// Errors: parse_error for a name that nobody knows.
Rejection rejection_from(std::string_view name);

/// A message that was refused: kept verbatim with the reason, listed, and replayable.
struct DeadLetter {
  Message message;
  Rejection reason = Rejection::parse_error;
  std::string detail;  ///< What was found and what was expected, for a person.
};

}  // namespace wattd
