#include "pipeline/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>

#include "telemetry/json_text.h"
#include "telemetry/log.h"

namespace wattd::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxFields = 500'000;  // of one group, so that its transaction stays small
constexpr double kUrgentBurst = 20;          // commits that alerts may ask for at once,
constexpr double kUrgentPerSecond = 10;      // and a second thereafter
constexpr auto kRetryCommit = 1s;
constexpr std::size_t kKeptOfTooLong = 4096;  // bytes of a payload too long to be anything but an accident

double seconds(Instant::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

Pipeline::Pipeline(Options options, storage::Store& store, Registry& registry, const Clock& clock)
    : options_(std::move(options)),
      store_(store),
      registry_(registry),
      clock_(clock),
      redeliveries_(store.recent_receipts(RedeliveryFilter::kKept)),
      tokens_at_(clock.monotonic()),
      usage_(store.usage()) {
  store_.set_measurands(
      [this](std::string_view device, std::string_view field) { return registry_.measurand_of(device, field); });
  for (const auto& series : store.series()) registry_.note_field(series.device_id, series.field);
  set_rules(store.rules());
  save_alerts(engine_.restore(store.active_alerts(), clock_.now()));
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

Result<Alert> Pipeline::change_alert(Alert alert, const std::function<void(Alert&)>& change) {
  // The engine knows the latest count and value of an alert that stands.
  if (const auto* current = engine_.find(alert.id)) alert = *current;
  change(alert);
  if (auto written = store_.change_alert(alert); !written) return std::unexpected(written.error());
  engine_.replace(alert);
  std::erase_if(group_.alerts, [&](const Alert& older) { return older.id == alert.id; });
  return alert;
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
             (wanted_ > committed() && !retry_at_);
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
  if (registry_.has_changes()) open_group(clock_.monotonic());
  if (must_commit(clock_.monotonic())) commit(clock_.monotonic());
  if (!opened_ && !retry_at_) {
    const auto more = store_.maintain(clock_.now());
    if (!more) log::error("rollups are behind: " + more.error().message);
    else if (*more) return now;
  }
  if (retry_at_) return *retry_at_;
  if (!opened_) return now + 1s;
  // An alert that came too soon after many others waits for the next token or the interval.
  return urgent_ ? std::min(*opened_ + options_.commit_interval, now + 50ms) : *opened_ + options_.commit_interval;
}

std::vector<Pipeline::Entry> Pipeline::take_waiting(std::vector<Change>& changes) {
  const std::scoped_lock lock(mutex_);
  changes = std::exchange(changes_, {});
  // While the disk refuses commits nothing more is taken in: the intake fills, and sources stop reading.
  if (retry_at_) return {};
  return std::exchange(waiting_, {});
}

void Pipeline::open_group(Instant now) {
  if (!opened_) opened_ = now;
}

void Pipeline::save_alerts(std::vector<Alert> alerts) {
  if (alerts.empty()) return;
  for (auto& alert : alerts) group_.alerts.push_back(std::move(alert));
  open_group(clock_.monotonic());
}

void Pipeline::process(Entry& entry) {
  open_group(clock_.monotonic());
  if (auto* messages = std::get_if<std::vector<Message>>(&entry.content)) {
    for (auto& message : *messages) process_message(std::move(message), 0);
  } else if (auto* replay = std::get_if<Replay>(&entry.content)) {
    process_message(std::move(replay->message), replay->id);
  } else {
    auto& reading = std::get<Reading>(entry.content);
    counts_.received += 1;
    Rejection reason{};
    if (const auto admitted = admit(reading, true, reason); admitted) {
      accept(std::move(reading));
    } else {
      reject(message_of(reading, "poll"), reason, admitted.error().message, 0);
    }
  }
  processed_ = entry.last;
}

void Pipeline::process_message(Message message, std::int64_t replayed_id) {
  if (replayed_id == 0) {
    if (redeliveries_.begins_session(message)) group_.receipts.push_back({message.source, 0, 0});
    auto receipt = receipt_of(message);
    if (redeliveries_.is_redelivery(message, receipt)) {
      counts_.redelivered += 1;
      return;
    }
    if (message.packet_id != 0) group_.receipts.push_back(std::move(receipt));
    counts_.received += 1;
  }
  Rejection reason = Rejection::parse_error;
  auto reading = decode(message, reason);
  if (!reading) return reject(std::move(message), reason, reading.error().message, replayed_id);
  if (replayed_id != 0) group_.replayed.push_back(replayed_id);
  accept(std::move(*reading));
}

std::optional<std::string_view> Pipeline::device_in(std::string_view topic) const {
  for (const auto& filter : options_.topics) {
    if (const auto device = drivers::mqtt::device_in_topic(filter, topic)) return device;
  }
  return std::nullopt;
}

Result<Reading> Pipeline::decode(const Message& message, Rejection& reason) {
  if (message.payload.size() > kMaxPayload) {
    return fail(ErrorKind::permanent,
                fmt::format("the payload has more than {} bytes; only its beginning is kept", kMaxPayload));
  }
  auto decoded = decoder_.decode(message.payload);
  if (!decoded) return std::unexpected(decoded.error());
  auto& reading = decoded->reading;
  const auto in_topic = device_in(message.topic);
  if (reading.device_id.empty() && in_topic) reading.device_id = *in_topic;
  if (in_topic && reading.device_id != *in_topic) {
    reason = Rejection::validation_error;
    return fail(ErrorKind::permanent,
                fmt::format("device_id is {:?}; expected {:?} as in the topic", reading.device_id, *in_topic));
  }
  reading.received = message.received;
  if (auto admitted = admit(reading, decoded->has_stamp, reason); !admitted) return std::unexpected(admitted.error());
  return std::move(reading);
}

Result<void> Pipeline::admit(Reading& reading, bool has_stamp, Rejection& reason) {
  reason = Rejection::device_error;
  const auto admitted = registry_.admit(reading.device_id);
  if (!admitted) return std::unexpected(admitted.error());
  const Device& device = **admitted;
  const auto* schema = registry_.schema_of(device.type);

  reason = Rejection::validation_error;
  if (!has_stamp && schema != nullptr && schema->stamp_required) {
    return fail(ErrorKind::permanent, "timestamp is missing");
  }
  if (reading.fields.empty()) return fail(ErrorKind::permanent, "there is no field beside device_id and timestamp");
  if (schema != nullptr) {
    if (auto valid = validate(reading, *schema); !valid) return valid;
  }
  if (!has_stamp || device.stamp == StampSource::arrival) reading.at = reading.received;
  reason = Rejection::timestamp_error;
  if (reading.at > reading.received + options_.max_ahead) {
    return fail(ErrorKind::permanent,
                fmt::format("timestamp {} is {} ahead of the gateway's clock; at most {} are allowed",
                            format_iso8601(reading.at), format_duration(reading.at - reading.received),
                            format_duration(options_.max_ahead)));
  }
  if (reading.at < clock_.now() - options_.raw_retention) {
    return fail(ErrorKind::permanent, fmt::format("timestamp {} is older than the raw retention of {}",
                                                  format_iso8601(reading.at), format_duration(options_.raw_retention)));
  }
  reason = Rejection::device_error;
  if (auto known = registry_.admit_fields(reading); !known) return known;
  reading.device_version = device.version;
  return {};
}

void Pipeline::accept(Reading reading) {
  const auto began = clock_.monotonic();
  rules::Verdict verdict;
  const auto& device = registry_.adopt(reading, clock_.now());
  engine_.judge(reading, registry_.schema_of(device.type), clock_.now(), verdict);
  counts_.evaluation_seconds.add(seconds(clock_.monotonic() - began));
  for (auto& alert : verdict.changed) {
    if (alert.status == AlertStatus::open && alert.count == 1) {
      counts_.alerts += 1;
      alert_arrivals_.push_back(reading.received);
    }
    group_.alerts.push_back(std::move(alert));
  }
  for (auto& notice : verdict.notices) {
    group_.outbox.push_back({std::move(notice.alert_id), std::move(notice.channel), std::move(notice.event)});
  }
  urgent_ = urgent_ || verdict.urgent;
  registry_.note_reading(reading.device_id, reading.at);
  fields_ += reading.fields.size();
  group_.readings.push_back(std::move(reading));
}

void Pipeline::reject(Message message, Rejection reason, std::string detail, std::int64_t replayed_id) {
  if (const auto in_topic = device_in(message.topic)) {
    registry_.note_rejected(std::string(*in_topic));
  }
  if (replayed_id != 0) {
    log::notice(fmt::format("dead letter {} was refused again: {}", replayed_id, detail));
    return;
  }
  counts_.rejected += 1;
  if (message.payload.size() > kMaxPayload) message.payload.resize(kKeptOfTooLong);
  group_.dead_letters.push_back({std::move(message), reason, std::move(detail)});
}

bool Pipeline::must_commit(Instant now) {
  if (retry_at_) return now >= *retry_at_;
  if (!opened_) return false;
  if (group_.readings.size() >= options_.max_group || fields_ >= kMaxFields) return true;
  if (now - *opened_ >= options_.commit_interval) return true;
  {
    const std::scoped_lock lock(mutex_);
    if (wanted_ > committed() && processed_ >= wanted_) return true;
  }
  if (!urgent_) return false;
  urgent_tokens_ = std::min(kUrgentBurst, urgent_tokens_ + seconds(now - tokens_at_) * kUrgentPerSecond);
  tokens_at_ = now;
  if (urgent_tokens_ < 1) return false;
  urgent_tokens_ -= 1;
  return true;
}

void Pipeline::commit(Instant now) {
  if (!opened_) return;
  const auto changes = registry_.take_changes();
  group_.devices.insert(group_.devices.end(), changes.begin(), changes.end());
  auto result = group_.empty() ? Result<std::uint64_t>(store_.usage().last_seq) : store_.commit(group_);
  if (!result && result.error().kind == ErrorKind::permanent) {
    log::error("a group was refused; looking for what is wrong with it: " + result.error().message);
    set_aside_unwritable();
    result = store_.commit(group_);
  }
  if (!result) {
    counts_.commit_failures += 1;
    if (!retry_at_) log::error("readings cannot be committed, trying again: " + result.error().message);
    const std::scoped_lock lock(mutex_);
    commit_problem_ = result.error().message;
    retry_at_ = now + kRetryCommit;
    return;
  }
  counts_.commit_seconds.add(seconds(clock_.monotonic() - now));
  announce(*result);
}

void Pipeline::set_aside_unwritable() {
  // Each reading is tried by itself and rolled back; what is good is then written in one transaction with the
  // receipts and all else, so that a crash in between can neither lose nor double any of it.
  std::vector<Reading> good;
  for (auto& reading : group_.readings) {
    storage::Group single{.devices = group_.devices, .readings = {reading}};
    const auto verdict = store_.check(single);
    if (verdict || verdict.error().kind != ErrorKind::permanent) {
      good.push_back(std::move(reading));
      continue;
    }
    group_.dead_letters.push_back({message_of(reading, "write"), Rejection::write_error, verdict.error().message});
    counts_.rejected += 1;
  }
  group_.readings = std::move(good);
}

void Pipeline::announce(std::uint64_t seq) {
  auto group = std::make_shared<Committed>();
  group->seq = seq;
  group->readings = std::exchange(group_.readings, {});
  group->alerts = std::exchange(group_.alerts, {});
  group_ = {};
  fields_ = 0;
  opened_.reset();
  urgent_ = false;
  counts_.groups += 1;
  counts_.committed += group->readings.size();
  for (const auto& reading : group->readings) counts_.samples += numeric_samples(reading);
  for (std::size_t i = 0; i < counts_.active_alerts.size(); ++i) {
    counts_.active_alerts[i] = static_cast<std::int64_t>(engine_.active(static_cast<Severity>(i)));
  }
  const auto on_disk = clock_.now();
  for (const auto arrival : std::exchange(alert_arrivals_, {})) {
    counts_.alert_seconds.add(std::chrono::duration<double>(on_disk - arrival).count());
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
  if (auto* listener = listener_.load(); listener != nullptr && (!group->readings.empty() || !group->alerts.empty())) {
    listener->on_committed(group);
  }
}

}  // namespace wattd::pipeline
