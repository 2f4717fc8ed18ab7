#include "sync/broker_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kConnect = 10s;
constexpr std::size_t kAtOnce = 200;   // messages whose answers are waited for together
constexpr std::uint64_t kAround = 11;  // bytes: header, length of the topic, packet id, and the answer

}  // namespace

BrokerLine::BrokerLine(const drivers::mqtt::Broker& broker, const std::string& id, std::chrono::milliseconds timeout,
                       std::function<drivers::mqtt::Will()> will, drivers::mqtt::Hearing hearing)
    : target_(broker.address()), timeout_(timeout), writer_(broker, id, std::move(will), {}, std::move(hearing)) {}

Taken BrokerLine::publish(std::span<const Text> messages, const std::stop_token& stop) {
  for (; !messages.empty(); messages = messages.subspan(std::min(kAtOnce, messages.size()))) {
    if (stop.stop_requested()) return fail(ErrorKind::retry, "stopping");
    if (auto there = confirm(); !there) return there;
    const auto part = messages.first(std::min(kAtOnce, messages.size()));
    for (const auto& [topic, payload] : part) traffic_ += topic.size() + payload.size() + kAround;
    for (const auto& problem : writer_.publish_acknowledged({part.begin(), part.end()}, timeout_)) {
      if (!problem.empty()) return fail(ErrorKind::retry, fmt::format("{}: {}", target_, problem));
    }
  }
  return {};
}

std::uint64_t BrokerLine::breaks() const { return std::max<std::uint64_t>(writer_.connections(), 1) - 1; }

Taken BrokerLine::confirm() const {
  return writer_.is_connected() ? Taken() : fail(ErrorKind::retry, target_ + ": not connected");
}

std::expected<std::string, NotTaken> BrokerLine::probe(const std::stop_token& stop) const {
  for (auto left = kConnect; left > 0ms && !writer_.is_connected() && !stop.stop_requested(); left -= 50ms)
    std::this_thread::sleep_for(50ms);
  if (!writer_.is_connected()) return fail(ErrorKind::retry, target_ + ": not connected; the journal may say why");
  return target_ + " has taken the connection";
}

}  // namespace wattd::sync
