#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "drivers/intake.h"
#include "drivers/mqtt/dialect.h"
#include "pipeline/adjusted_counters.h"
#include "pipeline/options.h"
#include "pipeline/redelivery.h"
#include "pipeline/registry.h"
#include "rules/engine.h"
#include "storage/reader.h"
#include "storage/store.h"
#include "telemetry/clock.h"
#include "telemetry/histogram.h"
#include "telemetry/progress.h"

namespace wattd::pipeline {

/// A group that is on the disk, as listeners get it.
struct Committed {
  std::uint64_t seq = 0;
  std::vector<Reading> readings;
  std::vector<Alert> alerts;
  std::vector<Announcement> announcements;  ///< Of what somebody has to be told.
};

/// Hears of every group after its commit. Threads: called on the pipeline's; must return at once.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_committed(const std::shared_ptr<const Committed>& group) noexcept = 0;
};

/// Tells publishers what they were asked for. Threads: called on the pipeline's; must return at once.
class Outlet {
 public:
  virtual ~Outlet() = default;
  virtual void tell(const drivers::mqtt::Command& command) noexcept = 0;
};

/// Has readings for every commit: totals of what cannot be asked for again. Threads: called on the pipeline's.
class Tally {
 public:
  virtual ~Tally() = default;
  virtual std::vector<Reading> take() noexcept = 0;
};

/// What the pipeline counts since it started. Threads: any reads.
struct Counts {
  std::atomic<std::uint64_t> received{0};     ///< Messages and readings that came in, redeliveries not counted.
  std::atomic<std::uint64_t> committed{0};    ///< Readings on the disk.
  std::atomic<std::uint64_t> samples{0};      ///< Their numeric samples.
  std::atomic<std::uint64_t> rejected{0};     ///< Messages that became dead letters.
  std::atomic<std::uint64_t> redelivered{0};  ///< Messages dropped because they had been taken before.
  std::atomic<std::uint64_t> alerts{0};       ///< Alerts raised.
  std::atomic<std::uint64_t> groups{0};
  std::atomic<std::uint64_t> commit_failures{0};
  std::array<std::atomic<std::int64_t>, 4> active_alerts{};  ///< By severity.
  Histogram commit_seconds;                                  ///< One transaction, its sync included.
  Histogram evaluation_seconds;                              ///< All rules over one reading.
  Histogram alert_seconds;                                   ///< From a reading's arrival to its alert on the disk.
};

/// The way of a reading: intake, decode, validate, rules, commit; one thread, one transaction a group.
/// Threads: run() on its own; the Intake's methods, change() and counts() any.
class Pipeline final : public drivers::Intake {
 public:
  /// What somebody else wants done on the writer's thread: changes of rules, alerts, cursors, replays.
  using Change = std::function<void(Pipeline&)>;

  Pipeline(Options options, storage::Store& store, Registry& registry, const Clock& clock);

  /// Takes in, judges and commits until told to stop; then drains the intake and commits once more.
  void run(const std::stop_token& stop);
  /// One turn: takes what waits, commits when it is time. Returns when it wants to be called next at the latest.
  Instant step(Instant now);

  bool has_room() const override;
  std::chrono::milliseconds patience() const override { return std::chrono::milliseconds{patience_ms_.load()}; }
  Ticket put(std::vector<Message> messages) override;
  Ticket put(Reading reading) override;
  Ticket committed() const override { return committed_.load(std::memory_order_acquire); }
  void expect_commit() override;
  bool commit_through(Ticket ticket, std::chrono::milliseconds patience) override;

  /// Puts a dead letter's message through the pipeline once more; it is marked replayed with its reading.
  Ticket replay(std::int64_t dead_letter_id, Message message);
  /// Runs `change` on the pipeline's thread, between groups.
  void change(Change change);
  /// Like change(), and waits for it. Errors: false when it did not run in time.
  bool change_and_wait(Change change, std::chrono::milliseconds patience);
  void set_listener(Listener* listener) { listener_ = listener; }
  void set_outlet(Outlet* outlet) { outlet_ = outlet; }
  void set_tally(Tally* tally) { tally_ = tally; }

  // For changes, on the pipeline's thread only.
  storage::Store& store() { return store_; }
  Registry& registry() { return registry_; }
  const Registry& registry() const { return registry_; }
  /// Tells the store what the registry knows of each series; after the registry has changed.
  void describe_series();
  /// Takes over what the store and the registry hold of rules, silences and devices.
  void renew_rules(const rules::Options& options);
  /// The same of rules alone, after some have changed.
  void set_rules(std::vector<Rule> rules);
  /// What is known of every series there is: a copy for those who judge by rules beside the pipeline.
  std::map<std::pair<std::string, std::string>, SeriesFacts> facts() const;
  /// Judges what the gateway says of itself; none of it is stored.
  void judge_own(const Reading& reading);
  /// Written with the next group: cheaper than a transaction of its own.
  void save_cursor(const storage::Cursor& cursor);
  void set_aside(DeadLetter letter);
  /// Writes an alert that a person changed, on top of what the open group holds of it, with the entry in the audit
  /// trail. Whoever was told of it is told of its end.
  Result<Alert> change_alert(Alert alert, const std::function<void(Alert&)>& change, AuditEntry entry);
  /// How deliveries went, with the next group: cheaper than a transaction of its own.
  void note(storage::Changes changes);
  /// The same at once, with whatever else waits of it.
  Result<void> write(storage::Changes changes);
  /// Adds a rule or replaces it. Errors: permanent where another rule has its name, or a device would have more rules
  /// than it may.
  Result<Rule> put_rule(Rule rule, AuditEntry entry);
  Result<void> delete_rule(const std::string& id, AuditEntry entry);
  /// Adds a silence, or changes when it ends.
  Result<void> put_silence(const Silence& silence, AuditEntry entry);
  void set_subscriptions(std::vector<drivers::mqtt::Subscription> all) {
    reader_ = drivers::mqtt::TopicReader(std::move(all));
  }

  const Counts& counts() const { return counts_; }
  const Progress& progress() const { return progress_; }
  std::size_t backlog() const;
  /// The last reason why a commit failed; empty since one succeeded.
  std::string commit_problem() const;
  /// What the store held after the last commit.
  storage::Usage usage() const;
  /// The channels of rules whose alerts stand, for relays.
  std::vector<std::string> standing_channels() const;
  const Options& options() const { return options_; }

 private:
  struct Replay {
    std::int64_t id;
    Message message;
  };
  struct Entry {
    std::variant<std::vector<Message>, Reading, Replay> content;
    Ticket last;
    std::size_t size;
  };

  Ticket enqueue(decltype(Entry::content) content, std::size_t size);
  std::vector<Entry> take_waiting(std::vector<Change>& changes);
  void process(Entry& entry);
  void process_reading(Reading reading);
  void process_message(Message message, std::int64_t replayed_id);
  Result<std::vector<Reading>> decode(const Message& message, bool again, Rejection& reason);
  Result<void> admit(Reading& reading, bool has_stamp, Quality received_quality, Rejection& reason);
  Result<void> check_stamp(const Reading& reading, Quality received_quality) const;
  void follow_clock();
  void publish_usage();
  void accept(Reading reading);
  void reject(Message message, Rejection reason, std::string detail, std::int64_t replayed_id);
  bool must_commit(Instant now);
  void commit(Instant now);
  void set_aside_unwritable();
  void recall_counters();
  void recall_counters_of(const std::string& device, const std::function<void(const Reading&)>& take);
  void announce(std::uint64_t seq);
  void open_group(Instant now);
  void save_alerts(std::vector<Alert> alerts);
  void note_patience(const std::vector<Rule>& rules);
  void recall_rules();
  void note_standing();
  void tell_listener(const std::shared_ptr<const Committed>& group);
  void absorb(rules::Verdict verdict, Timestamp arrived);
  rules::Moment moment() const { return {clock_.now(), clock_.monotonic()}; }

  Options options_;
  storage::Store& store_;
  Registry& registry_;
  const Clock& clock_;
  rules::Engine engine_;
  drivers::mqtt::TopicReader reader_;
  RedeliveryFilter redeliveries_;
  AdjustedCounters counters_;
  std::atomic<Listener*> listener_{nullptr};
  std::atomic<Outlet*> outlet_{nullptr};
  std::atomic<Tally*> tally_{nullptr};
  Counts counts_;
  Progress progress_;

  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::condition_variable durable_;
  std::vector<Entry> waiting_;           ///< Guarded by mutex_.
  std::vector<Change> changes_;          ///< Guarded by mutex_.
  Ticket last_ticket_ = 0;               ///< Guarded by mutex_.
  Ticket wanted_ = 0;                    ///< Guarded by mutex_: a source waits for this one.
  bool is_expected_ = false;             ///< Guarded by mutex_: somebody has something for the next commit.
  std::string commit_problem_;           ///< Guarded by mutex_.
  std::atomic<std::size_t> backlog_{0};  ///< Entries put in and not committed yet.
  std::atomic<Ticket> committed_{0};
  std::atomic<int> patience_ms_{0};  ///< Of sources, with what they have read.

  // The open group; the pipeline's thread alone.
  storage::Group group_;
  std::unique_ptr<storage::Reader> past_;  ///< For as long as the group is open, once it was needed.
  Ticket processed_ = 0;
  std::size_t fields_ = 0;
  std::optional<Instant> opened_;
  Instant commit_began_{};  ///< Of the last commit.
  std::vector<Timestamp> alert_arrivals_;
  bool urgent_ = false;
  double urgent_tokens_ = 20;
  Instant tokens_at_{};
  std::optional<Instant> retry_at_;
  std::optional<Timestamp> known_boot_;  ///< What the store was told of the clock.
  std::optional<Instant> describe_at_;   ///< When the store is told of its series again, after it could not take that.
  Instant know_clock_at_{};              ///< When it is told again, after it could not take that in.

  storage::Usage usage_;                        ///< Guarded by mutex_.
  std::vector<std::string> standing_channels_;  ///< Guarded by mutex_.
};

}  // namespace wattd::pipeline
