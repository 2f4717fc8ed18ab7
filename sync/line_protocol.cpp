#include "sync/line_protocol.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace wattd::sync {
namespace {

/// Escapes what ends a measurement, a tag or a key. A line break has no escape and becomes a space.
void append_name(std::string& line, std::string_view name, std::string_view special) {
  for (const char c : name) {
    if (c == '\n' || c == '\r') {
      line += "\\ ";
      continue;
    }
    if (special.find(c) != std::string_view::npos) line += '\\';
    line += c;
  }
  // A trailing backslash would escape the separator that follows.
  if (name.ends_with('\\')) line += "\\ ";
}

void append_tag(std::string& line, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  line += ',';
  line += key;
  line += '=';
  append_name(line, value, ",= ");
}

void append_text(std::string& line, std::string_view text) {
  line += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') line += '\\';
    line += c;
  }
  line += '"';
}

/// Appends `name=value`; false when the value has no form that may be sent.
bool append_field(std::string& line, const Field& field, bool non_numeric, bool first) {
  const auto number = as_number(field.value);
  if (number ? !std::isfinite(*number) : !non_numeric) return false;
  if (!first) line += ',';
  append_name(line, field.name, ",= ");
  line += '=';
  if (const auto* text = std::get_if<std::string>(&field.value)) append_text(line, *text);
  else if (const auto* whole = std::get_if<std::int64_t>(&field.value))
    fmt::format_to(std::back_inserter(line), "{}", *whole);
  else if (const auto* real = std::get_if<double>(&field.value)) fmt::format_to(std::back_inserter(line), "{}", *real);
  else line += std::get<bool>(field.value) ? "true" : "false";
  return true;
}

}  // namespace

std::string to_lines(std::span<const Outgoing> batch, const LineOptions& options) {
  std::string lines;
  for (const auto& [reading, device] : batch) {
    const auto start = lines.size();
    append_name(lines, options.measurement, ", ");
    append_tag(lines, "device_id", device->device_id);
    append_tag(lines, "device_type", device->device_type);
    append_tag(lines, "enrichment_status", device->enrichment_status);
    append_tag(lines, "gateway", options.gateway);
    append_tag(lines, "location", device->location);
    append_tag(lines, "schema_version", device->schema_version);
    lines += ' ';
    bool first = true;
    for (const auto& field : reading->fields) {
      if (append_field(lines, field, options.non_numeric, first)) first = false;
    }
    if (first) lines.resize(start);
    else fmt::format_to(std::back_inserter(lines), " {}\n", to_unix_us(reading->at));
  }
  return lines;
}

}  // namespace wattd::sync
