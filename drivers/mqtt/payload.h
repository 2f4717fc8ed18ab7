#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "telemetry/error.h"
#include "telemetry/reading.h"

namespace wattd::drivers::mqtt {

/// What a telemetry payload said: every member but `device_id` and `timestamp` is a field.
struct Decoded {
  Reading reading;  ///< `at` holds the payload's own stamp when it had one.
  bool has_stamp = false;
};

/// Reads JSON telemetry: one flat or nested object. Nested names are joined with dots, elements of arrays
/// carry their index, texts and booleans are kept, null means absent.
/// The timestamp is RFC 3339 or a Unix time in s, ms, us or ns, told by its size.
/// Threads: one.
class PayloadDecoder {
 public:
  PayloadDecoder();
  ~PayloadDecoder();

  /// Errors: permanent; the message says what is wrong and where. Invalid UTF-8, duplicate names, more than 1,000
  /// fields, names over 100 bytes, more than 16 levels and anything but an object are refused.
  Result<Decoded> decode(std::string_view payload);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

/// The part of a topic that stood where the subscription's first `+` stands.
std::optional<std::string_view> device_in_topic(std::string_view subscription, std::string_view topic);

}  // namespace wattd::drivers::mqtt
