#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "drivers/modbus/frame.h"
#include "telemetry/error.h"

namespace wattd::drivers::modbus {

/// Asks a device for its name: function 43, type 14, the basic objects: vendor, product code, revision.
/// Source: MODBUS application protocol 1.1b3, section 6.21.
Bytes encode_identification(Framing framing, int unit, std::uint16_t transaction);

/// The objects' texts, once the answer to that is whole somewhere in the bytes; nullopt while it is not.
/// Errors: unsupported: the device refuses.
std::optional<Result<std::vector<std::string>>> identification_in(std::span<const std::uint8_t> bytes, Framing framing,
                                                                  int unit, std::uint16_t transaction);

}  // namespace wattd::drivers::modbus
