#pragma once
#include <cstdint>
#include <set>
#include <string>

#include "config/bundle.h"

namespace wattd::daemon {

/// Bundles on a gateway's disk: which of them its configuration has, and how the last ones went.
/// Shape: a directory for each that may still be wanted, and a file `state`, by whose replacement all of it changes at
/// once. Format: docs/formats/bundle.md. Threads: one at a time.
class BundleStore {
 public:
  /// `directory` is the state directory's `bundle`; it is made when the first bundle comes.
  explicit BundleStore(std::string directory);

  struct State {
    std::uint64_t applied = 0;   ///< Serial of the bundle in use; 0 for none,
    std::uint64_t previous = 0;  ///< and of the one before it.
    bool trial = false;          ///< Not known yet whether the gateway is well with it.
    int starts = 0;              ///< Of the daemon, during the trial.
    std::set<std::string> ill;   ///< What did not work before the trial.
    std::uint64_t highest = 0;   ///< Serial of any that was taken or refused.
    std::uint64_t refused = 0;   ///< The last one that was not taken, or was taken back,
    std::string why;             ///< and why. A line.
    std::string diagnosed;       ///< The last request for diagnostics that was answered.
  };
  const State& state() const { return state_; }
  /// Whether one with this serial is news.
  bool is_news(std::uint64_t serial) const { return serial > state_.highest; }
  /// Where the files of a bundle lie; empty for serial 0.
  std::string directory_of(std::uint64_t serial) const;
  /// Of the bundle in use; empty for none.
  std::string current() const { return directory_of(state_.applied); }

  // Errors of all below: throw std::runtime_error when the disk does not take it; nothing has changed then.
  /// Writes its files, which nothing uses yet.
  void put(const config::Bundle& bundle);
  void begin_trial(std::uint64_t serial, std::set<std::string> ill);
  /// Counts a start of the daemon during a trial.
  void count_start();
  void confirm();
  /// Back to the bundle before, or to none.
  void roll_back(const std::string& why);
  void refuse(std::uint64_t serial, const std::string& why);
  void note_diagnosed(const std::string& request);

 private:
  void change(State fresh);
  void tidy_up() const;

  const std::string directory_;
  State state_;
};

}  // namespace wattd::daemon
