#pragma once
#include <memory>
#include <string>

#include "config/table.h"
#include "sync/http.h"
#include "sync/sink.h"
#include "sync/stream.h"

namespace wattd::sync {

/// A server that takes batches of readings as JSON. docs/formats/ndjson.md has both forms.
struct HttpBatchConfig {
  HttpConfig http;
  enum class Form { ndjson, sensors } form = Form::ndjson;
  std::string path;                                    ///< Behind the URL.
  std::string secret;                                  ///< Signs the bodies; empty: they are not.
  std::string field = "energy_import_total_adjusted";  ///< What goes as value_kwh in the form `sensors`.
};

/// Reads the keys of an http sink from its [[sinks]] table. Errors: throws config::ConfigError.
HttpBatchConfig parse_http_batch(const config::Table& table);

std::unique_ptr<Sink> http_batch_sink(HttpBatchConfig config, std::string gateway, Stream stream);

}  // namespace wattd::sync
