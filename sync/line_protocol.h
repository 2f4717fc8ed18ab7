#pragma once
#include <span>
#include <string>
#include <vector>

#include "sync/sink.h"

namespace wattd::sync {

/// How readings become lines.
struct LineOptions {
  std::string gateway;
  std::string measurement = "device_telemetry";
  std::vector<std::string> tags = {};  ///< Fields that are tags instead, of readings that are rows of their own.
  bool non_numeric = false;            ///< Texts and booleans too; some stores keep them as 0, which invents a value.
};

/// Writes readings as InfluxDB line protocol with integer microseconds. Tags, in the order of their names:
/// device_id, device_type, enrichment_status, gateway, location, schema_version; empty ones are left out.
/// Numbers are always floats: an integer field that later brings a fraction would be refused upstream.
/// NaN and infinities have no form in it and are left out.
/// Source: InfluxDB line protocol reference, v1.8 and v2.
std::string to_lines(std::span<const Outgoing> batch, const LineOptions& options);

}  // namespace wattd::sync
