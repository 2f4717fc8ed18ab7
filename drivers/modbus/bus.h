#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "config/table.h"
#include "drivers/intake.h"
#include "drivers/modbus/link.h"
#include "drivers/modbus/patience.h"
#include "drivers/modbus/plan.h"
#include "drivers/modbus/schedule.h"
#include "telemetry/clock.h"

namespace wattd::drivers::modbus {

/// One meter on a bus.
struct MeterConfig {
  std::string device_id;
  int unit = 1;
  Profile profile;
  int instance = 1;                       ///< Of several SunSpec models of the profile's kind.
  std::chrono::milliseconds fast{1000};   ///< Period of power, voltage, current, frequency.
  std::chrono::milliseconds slow{15000};  ///< Period of energy, distortion, demand.
  bool experimental = false;
};

/// One bus, polled by one thread.
struct BusConfig {
  std::string id;
  Address address;
  std::vector<MeterConfig> meters;
  int connections = 1;      ///< At once, to a host that takes more than one.
  std::string learnt_path;  ///< Where is kept what meters refuse; empty for nowhere.
};

/// Reads one [[buses]] table with its meters. Errors: throws config::ConfigError.
BusConfig parse_bus(const config::Table& table, const std::vector<std::string>& profile_directories);

/// One bus for each of its connections, with its share of the meters.
std::vector<BusConfig> split_connections(const BusConfig& bus);

/// What a meter has been like lately, for status, metrics and the device's health.
struct MeterHealth {
  std::string device_id;
  std::uint64_t polls = 0;
  std::uint64_t failures = 0;
  std::uint64_t lost = 0;          ///< Requests without an answer, of polls that failed and of those that did not.
  std::uint64_t skipped_full = 0;  ///< Polls not made because the intake was full.
  double last_answer_ms = 0;
  int timeout_ms = 0;                 ///< How long its next answer is waited for.
  std::string last_error;             ///< Empty while the meter answers all that it is asked.
  std::vector<std::string> left_out;  ///< Measurands that it refuses.
};

/// A bus, for status and metrics.
struct BusHealth {
  double load = 0;  ///< The share of the last minute in which it was in use, 0 to 1.
  std::vector<MeterHealth> meters;
};

/// Polls the meters of one line, each by its own periods, in the order that its Schedule says.
/// Threads: step() and run() one; health() any.
class Bus {
 public:
  Bus(BusConfig config, std::unique_ptr<Link> link, Intake& intake, const Clock& clock);

  /// Does what is due and says when to be called next.
  Instant step(Instant now);
  void run(const std::stop_token& stop);

  BusHealth health() const;
  /// Reads registers for somebody else, between two turns of the meters. Threads: any but the bus's own.
  /// Errors: as of Link::read; retry also when the bus had no time within `patience`.
  Result<std::vector<std::uint16_t>> ask(const ReadRequest& request, std::chrono::milliseconds timeout,
                                         std::chrono::milliseconds patience);
  const BusConfig& config() const { return config_; }

 private:
  struct Plans {
    std::vector<Request> fast, all;
  };
  enum class Outcome { heard, silent, nothing };

  struct Question {
    ReadRequest request;
    std::chrono::milliseconds timeout;
    std::promise<Result<std::vector<std::uint16_t>>> answer;
  };

  bool answer_one();
  void turn(const Schedule::Turn& turn, Instant now);
  Outcome poll(const Schedule::Turn& turn, Instant now);
  /// Reads a request, splitting it when the meter refuses an address in it.
  Result<void> read(std::size_t meter, const Request& request, Reading& reading);
  Result<void> find_base(std::size_t meter);
  Result<void> read_halves(std::size_t meter, const Request& request, Reading& reading, const Error& refusal);
  Result<void> read_all(const Schedule::Turn& turn, Reading& reading);
  void learn_refusals(std::size_t meter, bool others_answered, Instant now);
  void ask_anew(std::size_t meter, Instant now);
  void make_plan(std::size_t meter);
  void forget_refusals(Instant now);
  void recall(Instant now);
  void save() const;
  void note(std::size_t meter, double ms, const std::string& error);

  BusConfig config_;
  std::unique_ptr<Link> link_;
  Intake& intake_;
  const Clock& clock_;
  std::vector<Plans> plans_;
  /// What a meter has taught us.
  struct Learnt {
    std::optional<int> base;  ///< What is added to its addresses; unknown before it was asked.
    int base_opening = 0;     ///< Of the line, when it was.
    Line line;                ///< What it refuses.
    bool is_strict = false;   ///< It refuses registers that nobody asked for.
    /// Of rows that were asked alone: how often, and when it was counted last.
    std::map<const Register*, std::pair<int, Instant>> refusals;
    std::optional<Instant> asked_anew_at;     ///< When what it refused was last forgotten, because it had been silent.
    std::map<std::pair<int, int>, int> mute;  ///< Requests, by function and address, that went unanswered: how often.
    std::string unanswered;                   ///< What was said of the latest of them.
    int turns = 0;                            ///< That it had.
    bool has_news = false;                    ///< What it is asked has to be planned anew.
    Timestamp since{};                        ///< When the latest was learnt.
    Instant forget_at{};                      ///< It may have got new firmware, or be another one.
  };
  std::vector<Learnt> learnt_;
  std::vector<Patience> patience_;
  Schedule schedule_;
  std::set<const Register*> refused_;  ///< Rows that were refused by themselves in this poll,
  std::string refusal_;                ///< and in which words the last one.
  bool left_out_ = false;              ///< A request that waits for late answers to something else.
  int asked_ = 0;                      ///< Requests of this poll,
  int heard_ = 0;                      ///< and those that got an answer, be it a refusal.
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  BusHealth health_;                                 ///< Guarded by mutex_.
  std::deque<std::shared_ptr<Question>> questions_;  ///< Guarded by mutex_.
};

}  // namespace wattd::drivers::modbus
