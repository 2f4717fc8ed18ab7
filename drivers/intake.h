#pragma once
#include <chrono>
#include <cstdint>
#include <vector>

#include "telemetry/message.h"
#include "telemetry/reading.h"

namespace wattd::drivers {

/// The mouth of the pipeline, as drivers see it: a bounded queue whose entries are numbered in order.
/// A ticket is the number of the last entry that a call put in; once it is committed, so is all before it.
/// Threads: any.
class Intake {
 public:
  using Ticket = std::uint64_t;
  virtual ~Intake() = default;

  /// Whether a source may ask for more. When not, it stops reading or skips the poll, and says so in its count.
  virtual bool has_room() const = 0;
  /// How long a source may gather what comes before it hands it over: not long where rules wait for it.
  virtual std::chrono::milliseconds patience() const { return {}; }
  virtual Ticket put(std::vector<Message> messages) = 0;
  virtual Ticket put(Reading reading) = 0;
  /// Says that something has to be part of the next commit, which comes within its interval.
  virtual void expect_commit() {}
  /// The last ticket that is on the disk.
  virtual Ticket committed() const = 0;
  /// Asks for a commit now and waits for it.
  /// Errors: false when it did not come in time; nothing may be acknowledged then.
  virtual bool commit_through(Ticket ticket, std::chrono::milliseconds patience) = 0;
};

}  // namespace wattd::drivers
