#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "drivers/modbus/frame.h"
#include "drivers/modbus/port.h"
#include "telemetry/clock.h"

namespace wattd::drivers::modbus {

/// Bytes that went over a line in one direction, without anything in between in the other.
struct TracedFrame {
  std::uint64_t number = 0;  ///< From 1, without gaps.
  Timestamp at{};            ///< Of its first byte.
  bool sent = false;         ///< By us.
  Bytes bytes;
};

/// What goes over a line while somebody looks; nothing is kept while nobody does.
/// Threads: note() the bus's; since() any.
class Trace {
 public:
  /// The frames after `number` that are kept, at most the last 2,000, and goes on keeping them for ten seconds.
  /// A received frame may grow until the next one begins: `number` should be that of the last one that was sent.
  std::vector<TracedFrame> since(std::uint64_t number, Instant now);
  void note(bool sent, std::span<const std::uint8_t> bytes, Timestamp at, Instant now);

 private:
  std::atomic<Instant::rep> wanted_until_{0};
  std::mutex mutex_;
  std::deque<TracedFrame> frames_;  ///< Guarded by mutex_.
  std::uint64_t last_ = 0;          ///< Guarded by mutex_.
};

/// The port with a trace of what goes over it.
std::unique_ptr<Port> traced(std::unique_ptr<Port> port, std::shared_ptr<Trace> trace, const Clock& clock);

/// What a frame says, for a person: `read 2 holding registers from 0`, `4 bytes`, `exception 2`, `broken`.
/// Shape: one line for each frame that the bytes hold. `sent` frames are requests.
std::string describe(Framing framing, bool sent, std::span<const std::uint8_t> bytes);

}  // namespace wattd::drivers::modbus
