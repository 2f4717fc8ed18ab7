#pragma once
#include <memory>

#include "cli/commands.h"
#include "drivers/modbus/link.h"

namespace wattd::cli {

/// Where the command line says that a meter is.
drivers::modbus::Address address_of(const MeterTarget& target);
/// What is wrong with where it is said to be; empty where nothing is.
std::string complaint_about(const MeterTarget& target);
/// The way there: through the daemon for one of its buses, else directly.
std::unique_ptr<drivers::modbus::Link> link_to(Context& context, const MeterTarget& target, const Clock& clock);

}  // namespace wattd::cli
