#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "config/table.h"
#include "sync/http.h"
#include "sync/sink.h"

namespace wattd::sync {

/// A bucket of S3, or of what speaks its protocol: a Parquet file for each hour of a device. docs/formats/parquet.md.
struct S3Config {
  HttpConfig http;  ///< With the bucket in the URL's host or path; username and password are the keys.
  std::string key = "datasets/{gateway}/{device}/{date}/{hour}.parquet";
  std::size_t part_bytes = 8 << 20;        ///< What is larger goes in parts of so many.
  std::chrono::seconds export_every{900};  ///< What has come meanwhile goes together.
};
/// Reads the keys of an s3 sink from its [[sinks]] table. Errors: throws config::ConfigError.
S3Config parse_s3(const config::Table& table);

/// Takes readings of whole hours: sync/whole_hours.h.
std::unique_ptr<Sink> s3_sink(S3Config config, std::string gateway);

}  // namespace wattd::sync
