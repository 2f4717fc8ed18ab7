#pragma once
#include <memory>

#include "sync/source.h"

namespace wattd::sync {

/// For stores of files, which are written whole: of each hour (UTC) of a device in which a reading came, all readings,
/// earlier ones included. What is sent again overwrites what was there, whatever has come or been corrected since.
/// Shape: batches of whole hours, some ten thousand readings each; there are no lanes.
std::unique_ptr<Source> whole_hour_source(std::unique_ptr<storage::Reader> reader);

}  // namespace wattd::sync
