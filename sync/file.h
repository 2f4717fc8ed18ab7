#pragma once
#include <memory>
#include <string>

#include "config/table.h"
#include "sync/sink.h"
#include "sync/stream.h"

namespace wattd::sync {

/// A directory that readings are appended to: one file a day, for whoever fetches them.
struct FileConfig {
  std::string directory;
  std::int64_t most_bytes = INT64_C(1) << 30;  ///< Of all of them; beyond it nothing is taken until room is made.
};

/// Reads the keys of a file sink from its [[sinks]] table. Errors: throws config::ConfigError.
FileConfig parse_file(const config::Table& table);

std::unique_ptr<Sink> file_sink(FileConfig config, std::string gateway, Stream stream);

}  // namespace wattd::sync
