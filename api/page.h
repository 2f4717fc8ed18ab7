#pragma once
#include <string_view>

namespace wattd::api {

/// The page at `/`: what runs, what is missing and how to add it, read from /api/v1/status and /api/v1/devices.
std::string_view status_page();

}  // namespace wattd::api
