#pragma once
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "telemetry/message.h"

namespace wattd::pipeline {

/// What a redelivery of the message would look like.
Receipt receipt_of(const Message& message);

/// Tells a redelivered message from a new one. MQTT sends again, under its old packet id and before anything new,
/// what was not acknowledged when a connection ended; what we had already committed of that is dropped here.
/// Packet ids come round again, so receipts are compared only right after a connect, until the first message that is
/// new. Threads: one.
class RedeliveryFilter {
 public:
  /// Takes up the receipts of the last groups before a restart, oldest first.
  explicit RedeliveryFilter(const std::vector<Receipt>& recent);

  /// Whether the message is the first of a session that the broker began anew, with packet ids that mean nothing of
  /// before; to be asked of every message, before is_redelivery.
  bool begins_session(const Message& message);
  /// Whether the message was taken before. A new one is remembered.
  bool is_redelivery(const Message& message, const Receipt& receipt);

  /// How many receipts a connection keeps: twice the largest window that drivers::mqtt lets be configured.
  static constexpr std::size_t kKept = 8192;

 private:
  struct Source {
    std::uint32_t epoch = 0;
    std::deque<std::pair<std::uint16_t, std::uint32_t>> recent;   ///< Packet id and hash.
    std::unordered_map<std::uint16_t, std::uint32_t> candidates;  ///< Packet id to hash, after a connect.
  };

  std::unordered_map<std::string, Source> sources_;
};

}  // namespace wattd::pipeline
