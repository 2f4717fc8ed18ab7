#pragma once
#include <string>
#include <string_view>

#include "telemetry/message.h"
#include "telemetry/reading.h"

namespace wattd {

/// Appends a JSON string, quotes and escapes included.
void append_json(std::string& out, std::string_view text);
/// Appends a value with the shortest digits that read back the same; NaN and infinities become null.
void append_json(std::string& out, const Value& value);
/// A reading as the seed's flat object: device_id, timestamp, then the fields under their own names.
/// `members` is put in front of the closing brace, e.g. `,"schema_version":"v1"`.
std::string to_json(const Reading& reading, std::string_view members = {});

/// A reading that did not come as a message, written down as the message it could have been, so that it can
/// be a dead letter and be replayed.
Message message_of(const Reading& reading, std::string source);

}  // namespace wattd
