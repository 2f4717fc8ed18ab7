#include "telemetry/json_text.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace wattd {

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
        else out += c;
    }
  }
  out += '"';
}

void append_json(std::string& out, const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return append_json(out, std::string_view(*text));
  const auto* real = std::get_if<double>(&value);
  if (real != nullptr && !std::isfinite(*real)) {
    out += "null";
    return;
  }
  if (real != nullptr) append_number(out, *real);
  else out += to_text(value);
}

std::string to_json(const Reading& reading, std::string_view members) {
  std::string out = "{\"device_id\":";
  append_json(out, std::string_view(reading.device_id));
  out += ",\"timestamp\":\"" + format_iso8601(reading.at) + '"';
  for (const auto& field : reading.fields) {
    out += ',';
    append_json(out, std::string_view(field.name));
    out += ':';
    append_json(out, field.value);
  }
  out += members;
  return out += '}';
}

Message message_of(const Reading& reading, std::string source) {
  return {.source = std::move(source),
          .topic = fmt::format("devices/{}/telemetry", reading.device_id),
          .payload = to_json(reading),
          .received = reading.received,
          .received_quality = has(reading.quality, Quality::clock_unsynced) ? Quality::clock_unsynced : Quality::good};
}

}  // namespace wattd
