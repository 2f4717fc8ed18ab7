#include "drivers/mqtt/client.h"

#include <fmt/format.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <stdexcept>

#include "drivers/mqtt/reachable.h"

namespace wattd::drivers::mqtt {
namespace {

using namespace std::chrono_literals;

/// mosquitto_lib_init must run once, before the first client and before threads use it.
void init_library() {
  static const bool done = mosquitto_lib_init() == MOSQ_ERR_SUCCESS;
  if (!done) throw std::runtime_error("libmosquitto does not start");
}

void set_tls(mosquitto* client, const Broker& broker, const std::string& name) {
  const auto or_null = [](const std::string& path) { return path.empty() ? nullptr : path.c_str(); };
  const int code = mosquitto_tls_set(client, broker.ca_file.c_str(), nullptr, or_null(broker.cert_file),
                                     or_null(broker.key_file), nullptr);
  if (code != MOSQ_ERR_SUCCESS)
    throw std::runtime_error(fmt::format("{}: the TLS files cannot be used: {}", name, mosquitto_strerror(code)));
}

/// What CONNECT carries of MQTT 5. Without a session expiry the broker would forget the session with the connection.
class ConnectProperties {
 public:
  explicit ConnectProperties(const Broker& broker) {
    mosquitto_property_add_int32(&list_, MQTT_PROP_SESSION_EXPIRY_INTERVAL,
                                 static_cast<std::uint32_t>(broker.session_expiry.count()));
    if (broker.receive_maximum > 0)
      mosquitto_property_add_int16(&list_, MQTT_PROP_RECEIVE_MAXIMUM,
                                   static_cast<std::uint16_t>(broker.receive_maximum));
  }
  ~ConnectProperties() { mosquitto_property_free_all(&list_); }
  ConnectProperties(const ConnectProperties&) = delete;
  ConnectProperties& operator=(const ConnectProperties&) = delete;
  const mosquitto_property* get() const { return list_; }

 private:
  mosquitto_property* list_ = nullptr;
};

}  // namespace

void FreeClient::operator()(mosquitto* client) const { mosquitto_destroy(client); }

Broker parse_broker(const config::Table& table) {
  Broker broker;
  broker.host = table.text("host", broker.host);
  broker.port = static_cast<int>(table.integer("port", 1, 65535, broker.port));
  broker.client_id = table.text("client_id", "");
  if (broker.host.empty()) table.fail("host", "expected a name or an address");
  broker.username = table.text("username", "");
  broker.password = table.secret("password");
  if (broker.username.empty() && table.has("password")) table.fail("password", "needs a username beside it");
  broker.keepalive = std::chrono::duration_cast<std::chrono::seconds>(table.duration("keepalive", 5s, 1h, 30s));
  broker.v5 = table.choice<bool>("version", {{"3.1.1", false}, {"5", true}}, false);
  const auto tls = table.table("tls");
  broker.ca_file = tls.readable_file("ca_file");
  broker.cert_file = tls.readable_file("cert_file");
  broker.key_file = tls.readable_file("key_file");
  if (table.has("tls") && broker.ca_file.empty()) tls.fail("ca_file", "is required: the file of the CA's certificate");
  if (broker.cert_file.empty() != broker.key_file.empty())
    tls.fail("cert_file", "a client certificate needs both cert_file and key_file");
  tls.reject_unknown_keys();
  return broker;
}

Client make_client(const Broker& broker, bool clean, void* owner, const std::string& name) {
  init_library();
  Client made(mosquitto_new(broker.client_id.c_str(), clean, owner));
  auto* const client = made.get();
  if (client == nullptr)
    throw std::runtime_error(fmt::format("{}: the client id {:?} is not usable", name, broker.client_id));
  // Tells the library that writes are ours to make: without it a PUBACK leaves before the callback runs.
  mosquitto_threaded_set(client, true);
  mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
  if (broker.v5) mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
  if (!broker.username.empty())
    mosquitto_username_pw_set(client, broker.username.c_str(),
                              broker.password.empty() ? nullptr : broker.password.c_str());
  if (!broker.ca_file.empty()) set_tls(client, broker, name);
  return made;
}

std::string connect(mosquitto* client, const Broker& broker) {
  if (auto problem = unreachable_because(broker.host, broker.port, 5s); !problem.empty()) return problem;
  const auto keepalive = static_cast<int>(broker.keepalive.count());
  int code = MOSQ_ERR_SUCCESS;
  if (broker.v5) {
    const ConnectProperties properties(broker);
    code = mosquitto_connect_bind_v5(client, broker.host.c_str(), broker.port, keepalive, nullptr, properties.get());
  } else {
    code = mosquitto_connect(client, broker.host.c_str(), broker.port, keepalive);
  }
  return code == MOSQ_ERR_SUCCESS ? "" : fmt::format("cannot connect: {}", mosquitto_strerror(code));
}

}  // namespace wattd::drivers::mqtt
