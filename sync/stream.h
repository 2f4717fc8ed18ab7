#pragma once
#include <string_view>
#include <vector>

#include "config/table.h"

namespace wattd::sync {

/// What may go to a sink, each with a cursor of its own. docs/formats/streams.md has the fields of all but readings.
enum class Stream {
  readings,
  hours,         ///< What each series did within an hour that is over.
  days,          ///< The same of days.
  summaries,     ///< Energy and peak demand of a building's days.
  devices,       ///< Records of devices, as they change.
  alerts,        ///< As they are raised and change.
  analytics,     ///< Jobs of models, with their results.
  dead_letters,  ///< How many messages were refused, by day, source and reason.
};
std::string_view to_string(Stream stream);
/// Those in which text stands.
inline bool has_texts(Stream stream) { return stream == Stream::readings || stream >= Stream::devices; }

/// Reads the key `streams` of a [[sinks]] table; readings alone where it is not there.
/// Errors: throws config::ConfigError.
std::vector<Stream> parse_streams(const config::Table& table);

}  // namespace wattd::sync
