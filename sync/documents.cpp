#include "sync/documents.h"

#include <fmt/format.h>

#include <iterator>

#include "telemetry/json_text.h"

namespace wattd::sync {

std::string document_of(const Outgoing& outgoing, const std::string& gateway, Stream stream) {
  const auto reading = outgoing.reading();
  const auto& device = *outgoing.device;
  std::string out = "{";
  const auto add = [&](std::string_view name, std::string_view text) {
    if (text.empty()) return;
    fmt::format_to(std::back_inserter(out), "\"{}\":", name);
    append_json(out, text);
    out += ',';
  };
  if (stream != Stream::readings) add("stream", to_string(stream));
  add("gateway", gateway);
  add("device_id", reading.device_id);
  add("device_type", device.device_type);
  add("location", device.location);
  add("schema_version", device.schema_version);
  add("enrichment_status", device.enrichment_status);
  add("timestamp", format_iso8601(reading.at));
  fmt::format_to(std::back_inserter(out), "\"quality\":{},\"fields\":{{", static_cast<unsigned>(reading.quality));
  for (const auto& field : reading.fields) {
    append_json(out, std::string_view(field.name));
    out += ':';
    append_json(out, field.value);
    out += ',';
  }
  if (!reading.fields.empty()) out.pop_back();
  return out += "}}";
}

std::string documents_of(std::span<const Outgoing> batch, const std::string& gateway, Stream stream) {
  std::string lines;
  for (const auto& outgoing : batch) {
    lines += document_of(outgoing, gateway, stream);
    lines += '\n';
  }
  return lines;
}

}  // namespace wattd::sync
