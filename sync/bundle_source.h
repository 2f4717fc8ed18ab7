#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>

#include "config/table.h"
#include "drivers/mqtt/client.h"
#include "sync/http.h"

namespace wattd::sync {

/// Where a gateway fetches its configuration.
struct BundleConfig {
  std::variant<HttpConfig, drivers::mqtt::Broker> from;
  std::string topic = "wattd/{gateway}/bundle";  ///< At a broker: a retained message.
  std::string public_key;                        ///< PEM of the Ed25519 key that bundles are signed with.
  std::chrono::seconds every{900};
  std::chrono::seconds trial{300};  ///< In which the gateway has to be well with it, or goes back.
  bool operator==(const BundleConfig&) const = default;
  std::string diagnostics_url;  ///< Where they go when the server asks for them; empty: nowhere.
};

/// Reads the [bundle] table. Errors: throws config::ConfigError.
BundleConfig parse_bundle_config(const config::Table& table);

/// Asks one server or broker. Threads: one.
class BundleSource {
 public:
  virtual ~BundleSource() = default;
  /// What there is, and nothing while it is what was fetched last. `state` tells the other side how the last ones went.
  /// Errors: retry.
  virtual Result<std::optional<std::string>> fetch(const std::string& state, const std::stop_token& stop) = 0;
  /// For which request of the server's diagnostics are due; empty: none.
  virtual std::string wants_diagnostics() const { return {}; }
  virtual Result<void> send_diagnostics(const std::string&, const std::string&, const std::stop_token&) {
    return fail(ErrorKind::unsupported, "diagnostics go over HTTP");
  }
};
/// Errors: throws std::runtime_error for what cannot be set up at all.
std::unique_ptr<BundleSource> bundle_source(const BundleConfig& config, const std::string& gateway);

}  // namespace wattd::sync
