#include "daemon/supervise.h"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <csignal>
#include <ctime>

namespace wattd::daemon {
namespace {

using namespace std::chrono_literals;

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

std::uint64_t monotonic_us() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch() / 1us);
}

void reload(Daemon& daemon, const std::string& config_path, bool must_exist) {
  std::string why;
  daemon.note_reload_begun();
  sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", static_cast<unsigned long long>(monotonic_us()));
  try {
    daemon.reload(load_settings(config_path, must_exist));
    log::notice("the configuration was read again");
  } catch (const std::exception& problem) {
    why = problem.what();
    log::error("the old configuration stays: " + why);
  }
  daemon.note_reload(why);
  sd_notify(0, "READY=1");
}

}  // namespace

void block_signals() {
  const auto set = handled_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void supervise(Daemon& daemon, const std::string& config_path, bool must_exist) {
  std::uint64_t watchdog_us = 0;
  const bool watched = sd_watchdog_enabled(0, &watchdog_us) > 0;
  // A second, for the clock's sake.
  const auto period =
      watched ? std::min<std::chrono::microseconds>(std::chrono::microseconds{watchdog_us / 3}, 1s) : 1s;
  const timespec patience{.tv_sec = period / 1s, .tv_nsec = (period % 1s) / 1ns};
  sd_notify(0, "READY=1");
  const auto set = handled_signals();
  while (true) {
    const int signal = sigtimedwait(&set, nullptr, &patience);
    if (signal == SIGTERM || signal == SIGINT) break;
    daemon.watch_clock();
    daemon.watch_itself();
    if (signal == SIGHUP) reload(daemon, config_path, must_exist);
    // A pipeline that hangs must not be fed: systemd then starts the gateway anew.
    if (watched && daemon.makes_progress(std::chrono::microseconds{watchdog_us})) sd_notify(0, "WATCHDOG=1");
    sd_notify(0, ("STATUS=" + daemon.status_line()).c_str());
  }
  sd_notify(0, "STOPPING=1");
  log::notice("stopping: committing what is in hand");
}

}  // namespace wattd::daemon
