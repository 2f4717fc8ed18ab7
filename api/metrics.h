#pragma once
#include <string>

#include "api/gateway.h"
#include "pipeline/pipeline.h"

namespace wattd::api {

/// Everything that is counted, in Prometheus' text format. docs/metrics.md lists the names.
std::string metrics_text(const Overview& overview, const pipeline::Pipeline& pipeline, const Clock& clock);

}  // namespace wattd::api
