#pragma once
#include <span>
#include <string>

#include "sync/sink.h"
#include "sync/stream.h"

namespace wattd::sync {

/// A reading as one JSON object, with the gateway, the quality and what the device's record said.
/// Shape: docs/formats/ndjson.md; no line break.
std::string document_of(const Outgoing& outgoing, const std::string& gateway, Stream stream = Stream::readings);
/// One of them a line.
std::string documents_of(std::span<const Outgoing> batch, const std::string& gateway, Stream stream = Stream::readings);

}  // namespace wattd::sync
