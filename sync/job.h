#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "sync/delivery.h"

namespace wattd::sync {

/// What a person asks a sink for beside its ordinary work.
struct JobRequest {
  enum class Kind {
    test,      ///< Whether it can be reached.
    backfill,  ///< Sends what is stored of a range again.
    verify,    ///< Compares, hour by hour, and sends again what is missing.
  };
  Kind kind = Kind::test;
  TimeRange range{};   ///< Whole hours.
  bool repair = true;  ///< Of verify.
};
std::string_view to_string(JobRequest::Kind kind);

/// An hour of a device of which upstream holds another number of values.
struct Difference {
  Timestamp hour{};
  std::string device_id;
  std::uint64_t here = 0;
  std::uint64_t there = 0;
};

struct JobStatus {
  JobRequest request;
  Timestamp began{};
  std::optional<Timestamp> ended;
  Timestamp done_until{};               ///< Everything in the range before it.
  std::uint64_t here = 0, there = 0;    ///< Values that were compared.
  std::uint64_t sent_readings = 0;      ///< Again.
  std::uint64_t different = 0;          ///< Hours of a device.
  std::vector<Difference> differences;  ///< The first of them.
  std::string last_error;               ///< While upstream is away; empty while it goes on.
  std::string result;                   ///< One line for people, once it has ended.
  bool failed = false;
};

/// One piece of such work, with a connection of its own, so that live readings wait for nothing.
/// It keeps trying while upstream is away, and ends with the daemon.
/// Threads: run() one; status() any.
class Job {
 public:
  Job(JobRequest request, const SinkConfig& config, std::unique_ptr<Source> source, std::unique_ptr<Sink> sink,
      Ledger& ledger, const Clock& clock, std::shared_ptr<Budget> budget = {});

  void run(const std::stop_token& stop);
  JobStatus status() const;

 private:
  using Counts = std::map<Timestamp, std::map<std::string, std::uint64_t>>;  ///< Values by hour and device.

  std::string work(const std::stop_token& stop);
  Counts count_here(TimeRange day, const Census& like, const std::stop_token& stop);
  void compare(Timestamp hour, const std::map<std::string, std::uint64_t>& here, const Census& there,
               const std::stop_token& stop);
  void send_again(const std::string& device, TimeRange range, const std::stop_token& stop);
  void wait_for_budget(const std::stop_token& stop);
  template <class Work>
  auto until_it_works(const std::stop_token& stop, Work work);
  void pause(std::chrono::milliseconds time, const std::stop_token& stop) const;

  const SinkConfig config_;
  const std::unique_ptr<Source> source_;
  Delivery delivery_;
  const Clock& clock_;
  const std::shared_ptr<Budget> budget_;
  mutable std::mutex mutex_;
  JobStatus status_;  ///< Guarded by mutex_.
};

}  // namespace wattd::sync
