#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "storage/database.h"
#include "telemetry/message.h"

namespace wattd::storage {

/// A dead letter with what the database knows of it.
struct StoredDeadLetter {
  std::int64_t id = 0;
  DeadLetter letter;
  std::string reason;
  std::optional<Timestamp> replayed_at;
};

/// Messages that were refused, the oldest ones given up when there are too many. Payload and detail are sealed where
/// there is a key.
/// Threads: the writer's; every change happens in the caller's transaction.
class DeadLetters {
 public:
  /// What is kept in memory; a copy from before a transaction undoes it.
  struct State {
    std::int64_t letters = 0;
    std::int64_t bytes = 0;  ///< Of payloads and topics, as they are stored.
  };

  explicit DeadLetters(Database& database);

  /// `boot_key` says in which boot it was received while nothing vouched for the clock.
  void put(const DeadLetter& letter, Timestamp received, std::optional<std::int64_t> boot_key);
  void mark_replayed(std::int64_t id, Timestamp now);
  /// Deletes the oldest until they fit.
  void bound(std::int64_t budget);
  /// Writes those behind `id` anew under the key that seals now, at most `most`; returns the last one's id, or nothing
  /// when there are no more.
  std::optional<std::int64_t> reseal_after(std::int64_t id, int most);

  /// Counts anew what there is.
  void count();
  const State& state() const { return state_; }
  void restore(const State& state) { state_ = state; }

 private:
  std::int64_t seal(std::int64_t id, const DeadLetter& letter);

  Database& database_;
  Statement insert_, mark_replayed_, seal_;
  State state_;
};

inline constexpr std::string_view kSelectDeadLetters =
    "SELECT id, received_at, source, topic, payload, reason, detail, replayed_at, boot_key, sealed FROM dead_letters";
StoredDeadLetter dead_letter_from(const Vault& vault, const Statement& row);

}  // namespace wattd::storage
