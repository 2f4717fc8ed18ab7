#pragma once
#include "storage/group.h"
#include "telemetry/message.h"

namespace wattd::sync {

/// Where cursors and refused readings are written down; the pipeline's writer does it.
/// Threads: any.
class Ledger {
 public:
  virtual ~Ledger() = default;
  virtual void save(const storage::Cursor& cursor) = 0;
  virtual void set_aside(DeadLetter letter) = 0;
};

}  // namespace wattd::sync
