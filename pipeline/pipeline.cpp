#include "pipeline/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>

#include "storage/reader.h"
#include "telemetry/json_text.h"
#include "telemetry/log.h"
#include "telemetry/measurand.h"

namespace wattd::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxFields = 500'000;  // of one group, so that its transaction stays small
constexpr double kUrgentBurst = 20;          // commits that alerts may ask for at once,
constexpr double kUrgentPerSecond = 20;      // and a second thereafter
constexpr auto kRetryCommit = 1s;
constexpr auto kRetryClock = 10s;
constexpr auto kRecalled = 10min;  // of the newest readings, looked through at the start
constexpr auto kTrembling = 24h;

}  // namespace

Pipeline::Pipeline(Options options, storage::Store& store, Registry& registry, const Clock& clock)
    : options_(std::move(options)),
      store_(store),
      registry_(registry),
      clock_(clock),
      engine_(options_.rules, store.calendar(),
              [this](std::string_view device, std::string_view field) { return registry_.facts_of(device, field); }),
      reader_(options_.subscriptions),
      redeliveries_(store.recent_receipts(RedeliveryFilter::kKept)),
      counters_([this](std::string_view device, std::string_view field) { return registry_.facts_of(device, field); },
                [this](const std::string& device, const std::function<void(const Reading&)>& take) {
                  recall_counters_of(device, take);
                }),
      tokens_at_(clock.monotonic()),
      usage_(store.usage()) {
  describe_series();
  for (const auto& series : store.series()) registry_.note_field(series.device_id, series.field);
  engine_.set_devices(registry_.devices(), moment());
  engine_.set_silences(store.silences(clock_.now()));
  auto rules = store.rules();
  note_patience(rules);
  engine_.set_rules(std::move(rules), moment());
  save_alerts(engine_.restore(store.latest_alerts(), moment()));
  recall_rules();
  note_standing();
  if (options_.adjusted_counters) recall_counters();
}

/// Takes up where the counters stood that were read in the last minutes: of all devices in one look, for each by itself
/// has to look through all that is in no chunk yet.
void Pipeline::recall_counters() {
  storage::Reader reader(store_.path(), store_.vault());
  const auto stood = reader.visit_unpacked(store_.seen_at_open() - kRecalled,
                                           [this](const Reading& stored) { counters_.recall(stored); });
  if (!stood) log::warning("where counters stood is looked up one by one: " + stood.error().message);
}

void Pipeline::recall_counters_of(const std::string& device, const std::function<void(const Reading&)>& take) {
  // New devices come together, and opening a database costs more than asking it.
  if (!past_) past_ = std::make_unique<storage::Reader>(store_.path(), store_.vault());
  auto& reader = *past_;
  const auto latest = reader.latest(device);
  std::optional<Timestamp> from;
  std::vector<std::string> fields;
  for (const auto& one : latest.value_or(std::vector<storage::Latest>{})) {
    const auto& [series, sample] = one;
    if (series.measurand == "device_serial")
      take({.device_id = device, .at = sample.at, .fields = {{series.field, sample.value}}});
    if (!series.field.ends_with(kAdjusted)) continue;
    fields.insert(fields.end(), {series.field, series.field.substr(0, series.field.size() - kAdjusted.size())});
    // While a last digit trembles the counter's own value is an older one.
    const auto begin = has(sample.quality, Quality::substituted) ? sample.at - kTrembling : sample.at;
    from = from ? std::min(*from, begin) : begin;
  }
  if (!from) return;
  const auto visited = reader.visit(device, fields, {*from, storage::kAlways.to}, [&](const Reading& stored) {
    take(stored);
    return true;
  });
  if (!visited)
    log::error(fmt::format("{}: where its counters stood is not known: {}", device, visited.error().message));
}

void Pipeline::describe_series() {
  counters_.forget_facts();
  const auto told = store_.describe_series(
      [this](std::string_view device, std::string_view field) { return registry_.facts_of(device, field); });
  describe_at_.reset();
  if (told) return;
  describe_at_ = clock_.monotonic() + kRetryClock;
  log::error("what is known of counters could not be written down yet: " + told.error().message);
}

bool Pipeline::has_room() const { return backlog_.load(std::memory_order_relaxed) < options_.intake_capacity; }

std::size_t Pipeline::backlog() const { return backlog_.load(); }

Pipeline::Ticket Pipeline::enqueue(decltype(Entry::content) content, std::size_t size) {
  Ticket ticket = 0;
  {
    const std::scoped_lock lock(mutex_);
    last_ticket_ += size;
    ticket = last_ticket_;
    waiting_.push_back({std::move(content), ticket, size});
    backlog_ += size;
  }
  arrived_.notify_one();
  return ticket;
}

Pipeline::Ticket Pipeline::put(std::vector<Message> messages) {
  const auto size = messages.size();
  return enqueue(std::move(messages), size);
}

Pipeline::Ticket Pipeline::put(Reading reading) { return enqueue(std::move(reading), 1); }

Pipeline::Ticket Pipeline::replay(std::int64_t dead_letter_id, Message message) {
  return enqueue(Replay{dead_letter_id, std::move(message)}, 1);
}

void Pipeline::expect_commit() {
  {
    const std::scoped_lock lock(mutex_);
    is_expected_ = true;
  }
  arrived_.notify_one();
}

void Pipeline::change(Change change) {
  {
    const std::scoped_lock lock(mutex_);
    changes_.push_back(std::move(change));
  }
  arrived_.notify_one();
}

bool Pipeline::change_and_wait(Change work, std::chrono::milliseconds patience) {
  const auto done = std::make_shared<std::promise<void>>();
  auto finished = done->get_future();
  change([done, work = std::move(work)](Pipeline& pipeline) {
    work(pipeline);
    done->set_value();
  });
  return finished.wait_for(patience) == std::future_status::ready;
}

bool Pipeline::commit_through(Ticket ticket, std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (committed() >= ticket) return true;
  wanted_ = std::max(wanted_, ticket);
  arrived_.notify_one();
  return durable_.wait_for(lock, patience, [&] { return committed() >= ticket; });
}

void Pipeline::save_cursor(const storage::Cursor& cursor) {
  const auto known = std::ranges::find(group_.cursors, cursor.sink_id, &storage::Cursor::sink_id);
  if (known == group_.cursors.end()) group_.cursors.push_back(cursor);
  else *known = cursor;
  open_group(clock_.monotonic());
}

void Pipeline::set_aside(DeadLetter letter) {
  group_.dead_letters.push_back(std::move(letter));
  open_group(clock_.monotonic());
}

storage::Usage Pipeline::usage() const {
  const std::scoped_lock lock(mutex_);
  return usage_;
}

std::string Pipeline::commit_problem() const {
  const std::scoped_lock lock(mutex_);
  return commit_problem_;
}

void Pipeline::run(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { arrived_.notify_all(); });
  while (!stop.stop_requested()) {
    const auto next = step(clock_.monotonic());
    std::unique_lock lock(mutex_);
    arrived_.wait_until(lock, next, [&] {
      return stop.stop_requested() || (!waiting_.empty() && !retry_at_) || !changes_.empty() || wanted_ > processed_ ||
             is_expected_ || (wanted_ > committed() && !retry_at_);
    });
  }
  // Sources have stopped before us: what they handed over is committed, then they may acknowledge it.
  while (!retry_at_ && backlog_.load() > 0) {
    step(clock_.monotonic());
    commit(clock_.monotonic());
  }
  commit(clock_.monotonic());
}

Instant Pipeline::step(Instant now) {
  progress_.beat();
  std::vector<Change> changes;
  for (auto& entry : take_waiting(changes)) {
    process(entry);
    // Long before a group grows out of hand, and so that alerts do not wait for the rest of a backlog.
    if (must_commit(clock_.monotonic())) commit(clock_.monotonic());
  }
  for (const auto& change : changes) change(*this);
  rules::Verdict verdict;
  engine_.tick(moment(), verdict);
  absorb(std::move(verdict), clock_.now());
  if (registry_.has_changes()) open_group(clock_.monotonic());
  if (must_commit(clock_.monotonic())) commit(clock_.monotonic());
  follow_clock();
  if (describe_at_ && clock_.monotonic() >= *describe_at_) describe_series();
  if (!opened_ && !retry_at_) {
    const auto more = store_.maintain(clock_.now());
    publish_usage();
    if (!more && more.error().kind == ErrorKind::corrupt)
      throw std::runtime_error("the database is damaged: " + more.error().message);
    if (!more) log::error("rollups are behind: " + more.error().message);
    else if (*more) return now;
  }
  if (retry_at_) return *retry_at_;
  // Rules are asked every second what time alone has brought. An alert that came too soon after many others waits for
  // the next token or the interval.
  const auto soon = urgent_ ? now + 50ms : now + 1s;
  return opened_ ? std::min(*opened_ + options_.commit_interval, soon) : soon;
}

void Pipeline::publish_usage() {
  const std::scoped_lock lock(mutex_);
  usage_ = store_.usage();
}

void Pipeline::follow_clock() {
  const auto boot = clock_.boot();
  const auto now = clock_.monotonic();
  if (!boot.known || boot.known == known_boot_ || retry_at_ || now < know_clock_at_) return;
  if (const auto told = store_.know_clock(boot); told) {
    known_boot_ = boot.known;
  } else {
    know_clock_at_ = now + kRetryClock;
    log::error("held readings cannot be put right yet: " + told.error().message);
  }
}

std::vector<Pipeline::Entry> Pipeline::take_waiting(std::vector<Change>& changes) {
  const std::scoped_lock lock(mutex_);
  changes = std::exchange(changes_, {});
  if (std::exchange(is_expected_, false)) open_group(clock_.monotonic());
  // While the disk refuses commits nothing more is taken in: the intake fills, and sources stop reading.
  if (retry_at_) return {};
  return std::exchange(waiting_, {});
}

/// What comes right after a commit has waited for it, most likely: in a steady stream the interval counts from the
/// beginning of one commit to the next.
void Pipeline::open_group(Instant now) {
  if (opened_) return;
  const bool is_steady = now - commit_began_ < options_.commit_interval / 2;
  opened_ = is_steady ? commit_began_ : now;
}

bool Pipeline::must_commit(Instant now) {
  if (retry_at_) return now >= *retry_at_;
  if (!opened_) return false;
  if (group_.readings.size() + group_.held.size() >= options_.max_group || fields_ >= kMaxFields) return true;
  if (now - *opened_ >= options_.commit_interval) return true;
  {
    const std::scoped_lock lock(mutex_);
    if (wanted_ > committed() && processed_ >= wanted_) return true;
  }
  if (!urgent_) return false;
  urgent_tokens_ = std::min(
      kUrgentBurst, urgent_tokens_ + std::chrono::duration<double>(now - tokens_at_).count() * kUrgentPerSecond);
  tokens_at_ = now;
  if (urgent_tokens_ < 1) return false;
  urgent_tokens_ -= 1;
  return true;
}

void Pipeline::commit(Instant now) {
  if (!opened_) return;
  if (auto* tally = tally_.load(); tally != nullptr && !retry_at_) {
    for (auto& reading : tally->take()) process_reading(std::move(reading));
  }
  const auto changes = registry_.take_changes();
  group_.devices.insert(group_.devices.end(), changes.begin(), changes.end());
  group_.boot = clock_.boot();
  commit_began_ = now;
  auto result = group_.empty() ? Result<std::uint64_t>(store_.usage().last_seq) : store_.commit(group_);
  if (!result && result.error().kind == ErrorKind::permanent) {
    log::error("a group was refused; looking for what is wrong with it: " + result.error().message);
    set_aside_unwritable();
    result = store_.commit(group_);
  }
  if (!result && result.error().kind == ErrorKind::corrupt) {
    // Started anew, the store leaves it and begins another; what no source has been told of comes again.
    throw std::runtime_error("the database is damaged: " + result.error().message);
  }
  if (!result) {
    counts_.commit_failures += 1;
    if (!retry_at_) log::error("readings cannot be committed, trying again: " + result.error().message);
    const std::scoped_lock lock(mutex_);
    commit_problem_ = result.error().message;
    retry_at_ = now + kRetryCommit;
    return;
  }
  counts_.commit_seconds.add(clock_.monotonic() - now);
  announce(*result);
}

void Pipeline::set_aside_unwritable() {
  // Each reading is tried by itself and rolled back; what is good is then written in one transaction with the
  // receipts and all else, so that a crash in between can neither lose nor double any of it.
  for (auto* readings : {&group_.readings, &group_.held}) {
    std::vector<Reading> good;
    for (auto& reading : *readings) {
      storage::Group single{.devices = group_.devices, .readings = {reading}};
      const auto verdict = store_.check(single);
      if (verdict || verdict.error().kind != ErrorKind::permanent) {
        good.push_back(std::move(reading));
        continue;
      }
      group_.dead_letters.push_back({message_of(reading, "write"), Rejection::write_error, verdict.error().message});
      counts_.rejected += 1;
    }
    *readings = std::move(good);
  }
}

void Pipeline::announce(std::uint64_t seq) {
  auto group = std::make_shared<Committed>();
  group->seq = seq;
  group->readings = std::exchange(group_.readings, {});
  std::ranges::move(group_.held, std::back_inserter(group->readings));
  group->alerts = std::exchange(group_.alerts, {});
  group->announcements = std::exchange(group_.outbox, {});
  group_ = {};
  past_.reset();
  fields_ = 0;
  opened_.reset();
  urgent_ = false;
  counts_.groups += 1;
  counts_.committed += group->readings.size();
  for (const auto& reading : group->readings) counts_.samples += numeric_samples(reading);
  if (!group->alerts.empty()) note_standing();
  const auto on_disk = clock_.now();
  for (const auto arrival : std::exchange(alert_arrivals_, {})) {
    counts_.alert_seconds.add(on_disk - arrival);
  }
  {
    const std::scoped_lock lock(mutex_);
    backlog_ -= processed_ - committed_.load();
    committed_.store(processed_, std::memory_order_release);
    if (retry_at_) log::notice("readings are committed again");
    retry_at_.reset();
    commit_problem_.clear();
    usage_ = store_.usage();
  }
  durable_.notify_all();
  if (!group->readings.empty() || !group->alerts.empty()) tell_listener(group);
}

void Pipeline::tell_listener(const std::shared_ptr<const Committed>& group) {
  if (auto* listener = listener_.load(); listener != nullptr) listener->on_committed(group);
}

}  // namespace wattd::pipeline
