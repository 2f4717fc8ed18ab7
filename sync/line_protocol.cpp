#include "sync/line_protocol.h"

#include <fmt/format.h>

#include <algorithm>
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

/// False when the value has no form that may be sent.
bool append_value(std::string& line, const storage::Values& values, std::size_t row, bool non_numeric) {
  if (const auto* reals = std::get_if<std::vector<double>>(&values.content())) [[likely]] {
    const auto real = (*reals)[row];
    if (!std::isfinite(real)) return false;
    append_number(line, real);
    return true;
  }
  const auto value = values[row];
  const auto number = as_number(value);
  if (number ? !std::isfinite(*number) : !non_numeric) return false;
  if (const auto* text = std::get_if<std::string>(&value)) append_text(line, *text);
  else line += to_text(value);
  return true;
}

/// What the lines of some rows share.
struct Common {
  std::string head;               ///< Measurement, tags and the space behind them.
  std::vector<std::string> keys;  ///< `,name=` for each column; empty for a tag.

  Common(const Outgoing& outgoing, const LineOptions& options) {
    const auto& device = *outgoing.device;
    append_name(head, options.measurement, ", ");
    append_tag(head, "device_id", device.device_id);
    append_tag(head, "device_type", device.device_type);
    append_tag(head, "enrichment_status", device.enrichment_status);
    append_tag(head, "gateway", options.gateway);
    append_tag(head, "location", device.location);
    append_tag(head, "schema_version", device.schema_version);
    const auto& fields = outgoing.rows->fields;
    keys.reserve(fields.size());
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const auto& field = fields[i];
      auto& key = keys.emplace_back();
      if (std::ranges::find(options.tags, field) != options.tags.end()) {
        append_tag(head, field, to_text(outgoing.rows->block->columns[i].values[outgoing.row]));
        continue;
      }
      key.push_back(',');
      append_name(key, field, ",= ");
      key += '=';
    }
    head += ' ';
  }
};

}  // namespace

std::string to_lines(std::span<const Outgoing> batch, const LineOptions& options) {
  std::string lines;
  std::optional<Common> common;
  const Outgoing* last = nullptr;
  for (const auto& outgoing : batch) {
    if (last == nullptr || last->rows != outgoing.rows || last->device != outgoing.device)
      common.emplace(outgoing, options);
    last = &outgoing;
    const auto start = lines.size();
    lines += common->head;
    const auto values_start = lines.size();
    const auto& columns = outgoing.rows->block->columns;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (!columns[i].has(outgoing.row) || common->keys[i].empty()) continue;
      const auto before = lines.size();
      // The first one needs no comma in front.
      lines += std::string_view(common->keys[i]).substr(before == values_start ? 1 : 0);
      if (!append_value(lines, columns[i].values, outgoing.row, options.non_numeric)) lines.resize(before);
    }
    if (lines.size() == values_start) lines.resize(start);
    else fmt::format_to(std::back_inserter(lines), " {}\n", to_unix_us(outgoing.at()));
    // Growing by doubling would take twice the memory; lines are about as long as each other.
    if (start == 0) lines.reserve(lines.size() * batch.size() * 21 / 20);
  }
  return lines;
}

}  // namespace wattd::sync
