#include "simulator/publisher.h"

#include <fmt/format.h>
#include <mosquitto.h>

#include <chrono>
#include <stdexcept>
#include <thread>

namespace wattd::simulator {
namespace {
constexpr std::uint64_t kUnderWay = 5000;  // messages queued in this process before publish() waits
}

struct Publisher::Callbacks {
  static void on_publish(mosquitto*, void* self, int) noexcept { static_cast<Publisher*>(self)->acknowledged_ += 1; }
};

void Publisher::Free::operator()(mosquitto* client) const {
  mosquitto_disconnect(client);
  mosquitto_loop_stop(client, true);
  mosquitto_destroy(client);
}

Publisher::Publisher(const Broker& broker) {
  mosquitto_lib_init();
  client_.reset(mosquitto_new(broker.client_id.c_str(), true, this));
  if (!client_) throw std::runtime_error("the client id is not usable");
  auto* const client = client_.get();
  mosquitto_publish_callback_set(client, Callbacks::on_publish);
  mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
  mosquitto_max_inflight_messages_set(client, 1000);
  if (!broker.username.empty()) mosquitto_username_pw_set(client, broker.username.c_str(), broker.password.c_str());
  if (!broker.ca_file.empty()) mosquitto_tls_set(client, broker.ca_file.c_str(), nullptr, nullptr, nullptr, nullptr);
  if (const int code = mosquitto_connect(client, broker.host.c_str(), broker.port, 30); code != MOSQ_ERR_SUCCESS) {
    throw std::runtime_error(fmt::format("{}:{}: {}", broker.host, broker.port, mosquitto_strerror(code)));
  }
  mosquitto_loop_start(client);
}

Publisher::~Publisher() = default;

void Publisher::publish(const std::string& topic, const std::string& payload, int qos, bool retain) {
  while (published_ - acknowledged_ >= kUnderWay) std::this_thread::sleep_for(std::chrono::milliseconds{1});
  published_ += 1;
  mosquitto_publish(client_.get(), nullptr, topic.c_str(), static_cast<int>(payload.size()), payload.data(), qos,
                    retain);
}

bool Publisher::drain(int seconds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{seconds};
  while (acknowledged_ < published_) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  return true;
}

}  // namespace wattd::simulator
