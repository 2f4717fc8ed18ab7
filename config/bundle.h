#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/error.h"
#include "telemetry/time.h"

namespace wattd::config {

/// A file that comes with a bundle: `conf.d/NAME.toml` or `profiles/NAME.toml`.
struct BundleFile {
  std::string path;
  std::string content;
  bool operator==(const BundleFile&) const = default;
};

/// Configuration that a gateway fetches: whole files, under one signature. docs/formats/bundle.md.
struct Bundle {
  std::uint64_t serial = 0;           ///< Rises; an older one is not taken.
  std::vector<std::string> gateways;  ///< Ids of those that it is for; `*` is any.
  std::optional<Timestamp> expires;   ///< Not taken from then on.
  std::vector<BundleFile> files;      ///< In order of their paths.

  bool is_for(const std::string& gateway) const;
  bool operator==(const Bundle&) const = default;
};

inline constexpr std::size_t kMostBundleBytes = 4 << 20;

/// What was signed. Errors: permanent for what is no bundle, and for names that a bundle may not have.
Result<Bundle> parse_bundle(std::string_view plain);
std::string bundle_text(const Bundle& bundle);

/// Reads a bundle whose signature was made with the other half of an Ed25519 key.
/// Units: `public_key` as PEM. Errors: permanent, in words for people; nothing of an unsigned bundle is looked at.
Result<Bundle> open_bundle(std::string_view bytes, const std::string& public_key);
/// Errors: permanent for what is no Ed25519 key in PEM.
Result<void> check_public_key(const std::string& pem);
/// Units: `private_key` as PEM. Errors: permanent.
Result<std::string> seal_bundle(const Bundle& bundle, const std::string& private_key);

}  // namespace wattd::config
