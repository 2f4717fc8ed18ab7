#pragma once
#include <functional>
#include <stop_token>
#include <string>
#include <thread>

namespace wattd::daemon {

/// Starts a named thread. What escapes from it is logged and ends the process: systemd starts it anew, and
/// nothing that was acknowledged is lost by that.
std::jthread start_thread(const std::string& name, std::function<void(const std::stop_token&)> work);

}  // namespace wattd::daemon
