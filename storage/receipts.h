#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "telemetry/message.h"

namespace wattd::storage {

/// What a group remembers of the messages it took. Format: docs/formats/segment.md.
std::vector<std::uint8_t> encode_receipts(const std::vector<Receipt>& receipts);

/// Reads what encode_receipts wrote, as far as it is undamaged; damage is logged.
std::vector<Receipt> decode_receipts(std::span<const std::uint8_t> bytes);

}  // namespace wattd::storage
