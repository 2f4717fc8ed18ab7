#pragma once
#include <memory>

#include "sync/source.h"
#include "sync/stream.h"
#include "telemetry/clock.h"

namespace wattd::sync {

/// What devices (or, for summaries, buildings) did within hours or days that are over. An interval follows the readings
/// in it: once it is over, and again after later readings of it, however late those come. Stamped with its beginning.
std::unique_ptr<Source> interval_source(const storage::Store& store, Stream stream, const Clock& clock);

/// The same over a Source and a Reader of the caller's, for tests.
std::unique_ptr<Source> interval_source(std::unique_ptr<storage::Reader> reader, Stream stream, const Clock& clock);

}  // namespace wattd::sync
