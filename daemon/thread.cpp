#include "daemon/thread.h"

#include <fmt/format.h>
#include <pthread.h>

#include <cstdlib>

#include "telemetry/log.h"

namespace wattd::daemon {

std::jthread start_thread(const std::string& name, std::function<void(const std::stop_token&)> work) {
  return std::jthread([name, work = std::move(work)](const std::stop_token& stop) {
    pthread_setname_np(pthread_self(), name.c_str());
    try {
      work(stop);
    } catch (const std::exception& problem) {
      log::error(fmt::format("the thread {} ended: {}", name, problem.what()));
      std::_Exit(1);
    } catch (...) {
      log::error(fmt::format("the thread {} ended for an unknown reason", name));
      std::_Exit(1);
    }
  });
}

}  // namespace wattd::daemon
