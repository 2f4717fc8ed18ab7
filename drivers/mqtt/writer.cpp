#include "drivers/mqtt/writer.h"

#include <fmt/format.h>
#include <mosquitto.h>

#include "telemetry/log.h"

namespace wattd::drivers::mqtt {
namespace {

constexpr unsigned kFirstPause = 1, kLongestPause = 30;  // s

}  // namespace

/// What the library calls; none of it may throw.
struct Writer::Callbacks {
  static void on_connect(mosquitto*, void* self, int code) noexcept {
    auto& writer = *static_cast<Writer*>(self);
    if (code != 0) {
      log::warning(fmt::format("{}: the broker refused to be written to: {}", writer.name_,
                               writer.broker_.v5 ? mosquitto_reason_string(code) : mosquitto_connack_string(code)));
      return;
    }
    ++writer.connections_;
    writer.connected_ = true;
    if (!writer.hearing_.topic.empty())
      mosquitto_subscribe(writer.client_.get(), nullptr, writer.hearing_.topic.c_str(), 1);
    if (writer.on_connect_) writer.on_connect_(writer);
  }
  static void on_disconnect(mosquitto*, void* self, int) noexcept {
    auto& writer = *static_cast<Writer*>(self);
    writer.connected_ = false;
    writer.leave_will();
  }
  static void on_message(mosquitto*, void* self, const mosquitto_message* message) noexcept {
    const auto* const text = static_cast<const char*>(message->payload);
    static_cast<Writer*>(self)->hearing_.heard({text, static_cast<std::size_t>(message->payloadlen)});
  }
  static void on_publish(mosquitto*, void* self, int message) noexcept {
    auto& writer = *static_cast<Writer*>(self);
    const std::scoped_lock lock(writer.mutex_);
    if (writer.awaits_) writer.answers_.insert(message);
    writer.answered_.notify_all();
  }
};

void Writer::leave_will() {
  if (!will_) return;
  const auto will = will_();
  mosquitto_will_set(client_.get(), will.topic.c_str(), static_cast<int>(will.payload.size()), will.payload.data(), 1,
                     will.retain);
}

Writer::Writer(Broker broker, const std::string& name, std::function<Will()> will,
               std::function<void(Writer&)> on_connect, Hearing hearing)
    : broker_(std::move(broker)),
      name_(name),
      will_(std::move(will)),
      on_connect_(std::move(on_connect)),
      hearing_(std::move(hearing)) {
  broker_.session_expiry = {};
  broker_.receive_maximum = 0;
  client_ = make_client(broker_, true, this, name_);
  auto* const client = client_.get();
  mosquitto_threaded_set(client, false);  // its thread is the library's
  mosquitto_connect_callback_set(client, Callbacks::on_connect);
  mosquitto_disconnect_callback_set(client, Callbacks::on_disconnect);
  mosquitto_publish_callback_set(client, Callbacks::on_publish);
  mosquitto_reconnect_delay_set(client, kFirstPause, kLongestPause, true);
  if (!hearing_.topic.empty()) mosquitto_message_callback_set(client, Callbacks::on_message);
  leave_will();
  mosquitto_connect_async(client, broker_.host.c_str(), broker_.port, static_cast<int>(broker_.keepalive.count()));
  if (const int code = mosquitto_loop_start(client); code != MOSQ_ERR_SUCCESS)
    throw std::runtime_error(
        fmt::format("{}: the thread that writes does not start: {}", name_, mosquitto_strerror(code)));
}

Writer::~Writer() {
  const bool was_connected = connected_;
  mosquitto_disconnect(client_.get());
  // A thread that waits for its next try would keep us waiting as long.
  mosquitto_loop_stop(client_.get(), !was_connected);
}

void Writer::publish(const std::string& topic, const std::string& payload, bool retain) {
  mosquitto_publish(client_.get(), nullptr, topic.c_str(), static_cast<int>(payload.size()), payload.data(), 0, retain);
}

std::vector<std::string> Writer::publish_acknowledged(const std::vector<Text>& texts,
                                                      std::chrono::milliseconds patience) {
  const std::scoped_lock turn(turn_);
  {
    // An answer may be there before its number is known.
    const std::scoped_lock lock(mutex_);
    awaits_ = true;
    answers_.clear();
  }
  std::vector<std::string> problems;
  std::vector<int> numbers;
  for (const auto& [topic, payload] : texts) {
    int number = 0;
    const int code = mosquitto_publish(client_.get(), &number, topic.c_str(), static_cast<int>(payload.size()),
                                       payload.data(), 1, false);
    problems.emplace_back(code == MOSQ_ERR_SUCCESS ? "" : mosquitto_strerror(code));
    numbers.push_back(number);
  }
  std::unique_lock lock(mutex_);
  const auto is_settled = [&](std::size_t i) { return !problems[i].empty() || answers_.contains(numbers[i]); };
  answered_.wait_for(lock, patience, [&] {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (!is_settled(i)) return false;
    }
    return true;
  });
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (!is_settled(i)) problems[i] = "the broker does not answer";
  }
  awaits_ = false;
  return problems;
}

}  // namespace wattd::drivers::mqtt
