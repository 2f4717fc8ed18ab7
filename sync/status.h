#pragma once
#include <optional>

#include "sync/job.h"
#include "sync/shipper.h"

namespace wattd::sync {

/// A sink as people see it: its ordinary work, and what was asked of it last.
struct SinkStatus {
  ShipperStatus shipper;
  std::optional<JobStatus> job;
};

}  // namespace wattd::sync
