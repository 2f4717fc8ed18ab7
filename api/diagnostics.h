#pragma once
#include <string>

#include "api/gateway.h"
#include "pipeline/pipeline.h"
#include "storage/reader.h"

namespace wattd::api {

/// What somebody far away needs to tell what is wrong: status, metrics, devices, alerts, refused messages without their
/// payloads, and the last lines of the log. No secrets, and of readings nothing but how many came.
/// Shape: a JSON object. Threads: any, with a Reader of its own.
std::string diagnostics_of(const Overview& overview, const pipeline::Pipeline& pipeline, storage::Reader& reader,
                           const Clock& clock);

}  // namespace wattd::api
