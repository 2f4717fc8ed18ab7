#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

namespace wattd::sync {

/// What a sink on a metered link may send and receive on a day of the site's clock, over all of its streams.
/// Threads: any.
class Budget {
 public:
  /// Units: bytes; 0 for as many as it takes.
  explicit Budget(std::int64_t most) : most_(most) {}

  /// What was spent on a day, as a cursor remembers it.
  struct Spent {
    std::string date;
    std::int64_t bytes = 0;
  };
  void add(const std::string& date, std::int64_t bytes) {
    const std::scoped_lock lock(mutex_);
    turn_to(date);
    spent_.bytes += bytes;
  }
  /// What was spent before a restart, as each stream remembers it: the most of them holds.
  void recall(const Spent& spent) {
    const std::scoped_lock lock(mutex_);
    if (spent.date > spent_.date) spent_ = spent;
    else if (spent.date == spent_.date) spent_.bytes = std::max(spent_.bytes, spent.bytes);
  }
  Spent spent() const {
    const std::scoped_lock lock(mutex_);
    return spent_;
  }
  /// Whether readings have to wait: a tenth is kept for what says more in fewer bytes.
  bool is_short(const std::string& date) { return reaches(date, most_ - most_ / 10) || is_marked_short(date); }
  /// Whether a request with readings may go; if not, they have to wait from now on. The first of a day always may.
  bool has_room(const std::string& date, std::size_t bytes) {
    if (most_ == 0) return true;
    const std::scoped_lock lock(mutex_);
    turn_to(date);
    if (spent_.bytes == 0 || spent_.bytes + static_cast<std::int64_t>(bytes) <= most_ - most_ / 10) return true;
    short_on_ = date;
    return false;
  }
  bool is_spent(const std::string& date) { return reaches(date, most_); }
  std::int64_t most() const { return most_; }

  /// The segment up to which readings have settled: behind it, hours may stand for them.
  void readings_reach(std::uint64_t seq) {
    const std::scoped_lock lock(mutex_);
    reached_ = seq;
  }
  std::uint64_t reached() const {
    const std::scoped_lock lock(mutex_);
    return reached_;
  }

 private:
  void turn_to(const std::string& date) {
    if (date != spent_.date) spent_ = {date, 0};
  }
  bool is_marked_short(const std::string& date) const {
    const std::scoped_lock lock(mutex_);
    return short_on_ == date;
  }
  bool reaches(const std::string& date, std::int64_t bytes) {
    if (most_ == 0) return false;
    const std::scoped_lock lock(mutex_);
    turn_to(date);
    return spent_.bytes >= bytes;
  }

  const std::int64_t most_;
  mutable std::mutex mutex_;
  Spent spent_;
  std::string short_on_;  ///< The day on which a request did not fit any more.
  std::uint64_t reached_ = 0;
};

}  // namespace wattd::sync
