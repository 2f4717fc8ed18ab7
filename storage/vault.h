#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "telemetry/error.h"

namespace wattd::storage {

/// The keys of a database, the newest first: it seals, all of them open. Without a key everything stays plain.
/// Format: docs/formats/sealed.md. Threads: any, once constructed.
class Vault {
 public:
  using Bytes = std::vector<std::uint8_t>;
  using Id = std::uint32_t;

  /// What is sealed, and what tells its place.
  /// The letters are stored: never reuse one.
  enum class Kind : char {
    segment = 'S',     ///< seq
    held = 'W',        ///< boot_key, until_us
    head = 'H',        ///< chunk_id, to_at
    body = 'B',        ///< chunk_id, to_at
    hourly = 'h',      ///< series_id, start
    daily = 'd',       ///< series_id, start
    counter = 'c',     ///< series_id, start
    letter = 'L',      ///< id
    correction = 'C',  ///< series_id, at
    proof = 'P',       ///< nothing
  };
  /// Where it stands. It goes into the seal: bytes that were moved to another place do not open.
  struct Place {
    Kind kind;
    std::int64_t a = 0;
    std::int64_t b = 0;
  };

  Vault() = default;
  ~Vault();
  Vault(const Vault&) = default;
  Vault& operator=(const Vault&) = default;

  /// Reads keys of 64 hexadecimal digits, one a line; empty text gives no key.
  /// Errors: permanent; the message never shows a key.
  static Result<Vault> parse(std::string_view text);

  bool seals() const { return !keys_.empty(); }
  /// Of the key that seals; 0 without one.
  Id current() const { return keys_.empty() ? 0 : keys_.front().id; }
  bool has(Id id) const;

  /// AES-256-GCM under the newest key, with a nonce of its own; a copy when there is no key.
  Bytes seal(const Place& place, std::span<const std::uint8_t> plain) const;
  /// What was sealed, or a copy of what never was. Nothing, and a line in the log, when it does not open: another
  /// place, damaged, or a key that is not here.
  Bytes open(const Place& place, std::span<const std::uint8_t> stored) const;

  bool operator==(const Vault&) const = default;

 private:
  struct Key {
    Id id = 0;
    std::array<std::uint8_t, 32> secret{};
    bool operator==(const Key&) const = default;
  };
  std::vector<Key> keys_;
};

/// The key that sealed these bytes; nothing when they are plain.
std::optional<Vault::Id> sealed_by(std::span<const std::uint8_t> stored);

}  // namespace wattd::storage
