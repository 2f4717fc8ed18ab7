#include "notify/courier.h"

#include <fmt/format.h>

#include <algorithm>

#include "telemetry/identity.h"
#include "telemetry/log.h"

namespace wattd::notify {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostNames = 10'000;
constexpr auto kAgain = 2s;  // when what is to be written down could not be

/// What one message may hold, by provider.
std::size_t longest_text(ChannelKind kind) {
  return kind == ChannelKind::whatsapp ? 1600 : kind == ChannelKind::telegram ? 4000 : 100'000;
}

/// Machines get each change by itself, and at once.
Manners manners_of(const ChannelConfig& config) {
  if (config.kind != ChannelKind::mqtt) return config.manners;
  return {.burst = 1'000'000, .every = 1s, .first_pause = 1s, .longest_pause = 30s, .give_up = config.manners.give_up};
}

}  // namespace

Courier::Courier(ChannelConfig config, std::string gateway_id, const std::string& database, storage::Vault vault,
                 Desk& desk, const Clock& clock)
    : config_(std::move(config)),
      gateway_id_(std::move(gateway_id)),
      desk_(desk),
      clock_(clock),
      reader_(database, std::move(vault)),
      channel_(make_channel(config_, gateway_id_)),
      mailbox_(manners_of(config_), reader_.calendar()) {
  status_.id = config_.id;
  status_.kind = to_string(config_.kind);
}

void Courier::begin(std::vector<Announced> announced, std::vector<Delivery> pending) {
  const std::scoped_lock lock(mutex_);
  waiting_ = std::move(announced);
  left_ = std::move(pending);
  arrived_.notify_one();
}

void Courier::hand_over(std::vector<Announced> announced) {
  const std::scoped_lock lock(mutex_);
  std::ranges::move(announced, std::back_inserter(waiting_));
  arrived_.notify_one();
}

void Courier::run(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { arrived_.notify_all(); });
  while (!stop.stop_requested()) {
    const auto next = step(stop);
    std::unique_lock lock(mutex_);
    arrived_.wait_until(lock, next, [&] { return stop.stop_requested() || !waiting_.empty() || !left_.empty(); });
  }
}

Instant Courier::step(const std::stop_token& stop) {
  std::vector<Announced> announced;
  std::vector<Delivery> left;
  {
    const std::scoped_lock lock(mutex_);
    announced = std::exchange(waiting_, {});
    left = std::exchange(left_, {});
  }
  for (auto& delivery : left) {
    if (delivery.sending_at) {
      log::warning(fmt::format("{}: whether {} was told before the gateway stopped is not known; telling once more",
                               config_.id, delivery.recipient));
      delivery.response = "the answer to the last try was lost; " + delivery.response;
    }
    const auto alert = alert_of(delivery.alert_id);
    mailbox_.add(std::move(delivery), alert ? alert->severity : Severity::medium, moment());
  }
  if (config_.kind == ChannelKind::mqtt && !announced.empty()) tell_at_once(std::exchange(announced, {}), stop);
  auto changes = std::exchange(unwritten_, {});
  expand(std::move(announced), changes);
  if (auto old = mailbox_.take_given_up(moment()); !old.empty()) {
    for (auto& delivery : old) {
      delivery.status = DeliveryStatus::failed;
      delivery.response = fmt::format("given up after {} tries: {}", delivery.attempts, delivery.response);
      delivery.due_at.reset(), delivery.sending_at.reset();
    }
    log::error(
        fmt::format("{}: {} notifications are given up; wattctl alerts show says which", config_.id, old.size()));
    std::ranges::move(old, std::back_inserter(changes.deliveries));
  }
  auto batch = mailbox_.take(moment());
  if (batch) {
    deliver(std::move(*batch), std::move(changes), stop);
  } else if (!changes.empty()) {
    if (const auto written = desk_.put(changes); !written) unwritten_ = std::move(changes);
  }
  {
    const std::scoped_lock lock(mutex_);
    status_.waiting = mailbox_.size();
  }
  const auto next = mailbox_.next(moment());
  return unwritten_.empty() ? next : std::min(next, clock_.monotonic() + kAgain);
}

/// Turns what is announced into deliveries, one a recipient.
void Courier::expand(std::vector<Announced> announced, storage::Changes& changes) {
  for (auto& [announcement, known] : announced) {
    const auto alert = known ? known : alert_of(announcement.alert_id);
    changes.told.push_back(announcement);
    if (!alert) continue;
    const auto recipients = recipients_for(*alert);
    Delivery delivery{
        .alert_id = alert->id, .channel = config_.id, .event = announcement.event, .created_at = clock_.now()};
    if (recipients.empty()) {
      delivery.id = random_uuid();
      delivery.status = DeliveryStatus::failed;
      delivery.response = "the channel has no recipients, and the rule names none";
      changes.deliveries.push_back(delivery);
    }
    for (const auto& recipient : recipients) {
      delivery.id = random_uuid();
      delivery.recipient = recipient;
      changes.deliveries.push_back(delivery);
      // Of a rule that is older than the channel nobody has looked at them yet.
      if (const auto expected = expected_instead_of(config_.kind, recipient);
          config_.kind != ChannelKind::mqtt && !expected.empty()) {
        changes.deliveries.back().status = DeliveryStatus::failed;
        changes.deliveries.back().response = fmt::format("{:?} cannot be told; expected {}", recipient, expected);
        continue;
      }
      mailbox_.add(delivery, alert->severity, moment());
    }
  }
}

std::vector<std::string> Courier::recipients_for(const Alert& alert) {
  if (config_.kind == ChannelKind::mqtt) return {config_.mqtt.topic};
  if (const auto rule = rule_of(alert.rule_id); rule) {
    if (const auto own = rule->recipients.find(config_.id); own != rule->recipients.end()) return own->second;
  }
  return config_.recipients;
}

std::optional<Alert> Courier::alert_of(const std::string& id) {
  auto found = reader_.alert(id);
  if (!found) log::error(fmt::format("{}: alert {} cannot be read: {}", config_.id, id, found.error().message));
  return found ? *found : std::nullopt;
}

std::optional<Rule> Courier::rule_of(const std::string& id) {
  auto found = reader_.rule(id);
  return found ? *found : std::nullopt;
}

Letter Courier::letter_of(const std::vector<Delivery>& batch) {
  Letter letter{.id = batch.front().message_id, .recipient = batch.front().recipient};
  for (const auto& delivery : batch) {
    const auto alert = alert_of(delivery.alert_id);
    if (!alert) continue;
    letter.told.push_back({*alert, rule_name(alert->rule_id), delivery.event});
  }
  if (!letter.told.empty())
    compose(letter, config_.texts, reader_.calendar(), gateway_id_.substr(0, 8), longest_text(config_.kind));
  return letter;
}

/// Sends what was just committed; the outbox has it until it is written down that it went.
void Courier::tell_at_once(std::vector<Announced> announced, const std::stop_token& stop) {
  storage::Changes changes;
  // While older ones wait, newer ones do not overtake them.
  if (mailbox_.size() > 0) {
    expand(std::move(announced), changes);
    return desk_.note(std::move(changes));
  }
  std::vector<Delivery> deliveries;
  std::vector<Letter> letters;
  std::vector<Severity> severities;
  for (const auto& [announcement, known] : announced) {
    changes.told.push_back(announcement);
    const auto alert = known ? known : alert_of(announcement.alert_id);
    if (!alert) continue;
    deliveries.push_back({.id = random_uuid(),
                          .alert_id = alert->id,
                          .channel = config_.id,
                          .recipient = config_.mqtt.topic,
                          .event = announcement.event,
                          .message_id = uuid_from_name(alert->id + announcement.event),
                          .attempts = 1,
                          .created_at = clock_.now()});
    letters.push_back({.id = deliveries.back().message_id,
                       .recipient = config_.mqtt.topic,
                       .told = {{*alert, rule_name(alert->rule_id), announcement.event}}});
    severities.push_back(alert->severity);
  }
  const auto outcomes = send_safely(letters, stop);
  for (std::size_t i = 0; i < deliveries.size(); ++i) {
    note(outcomes[i], 1);
    std::vector<Delivery> one{std::move(deliveries[i])};
    write_into(one, outcomes[i]);
    if (one[0].status == DeliveryStatus::pending) mailbox_.add(one[0], severities[i], moment());
    changes.deliveries.push_back(std::move(one[0]));
  }
  desk_.note(std::move(changes));
}

/// Names are looked up once: a rule that is renamed is told by its old name until the channels begin anew.
std::string Courier::rule_name(const std::string& id) {
  auto [known, is_new] = rule_names_.try_emplace(id);
  if (is_new) {
    if (rule_names_.size() > kMostNames) rule_names_.clear(), known = rule_names_.try_emplace(id).first;
    const auto rule = rule_of(id);
    known->second = rule ? rule->name : "a rule that is gone";
  }
  return known->second;
}

void Courier::deliver(std::vector<Delivery> batch, storage::Changes changes, const std::stop_token& stop) {
  // Each change of an alert is a message of its own over MQTT.
  std::vector<std::vector<Delivery>> letters;
  if (config_.kind == ChannelKind::mqtt) {
    for (auto& delivery : batch) letters.push_back({std::move(delivery)});
  } else {
    letters.push_back(std::move(batch));
  }
  for (auto& letter : letters) {
    std::string ids;
    for (const auto& delivery : letter) ids += delivery.alert_id + delivery.event;
    for (auto& delivery : letter) {
      delivery.message_id = uuid_from_name(ids);
      delivery.attempts += 1;
      delivery.sending_at = clock_.now();
      delivery.due_at.reset();
      std::erase_if(changes.deliveries, [&](const Delivery& older) { return older.id == delivery.id; });
      changes.deliveries.push_back(delivery);
    }
  }
  if (const auto written = desk_.put(changes); !written) {
    // Nobody is told what is not on the disk.
    std::vector<Delivery> all;
    for (auto& letter : letters) std::ranges::move(letter, std::back_inserter(all));
    for (auto& delivery : all) delivery.attempts -= 1, delivery.sending_at.reset();
    unwritten_ = std::move(changes);
    unwritten_.deliveries = all;
    mailbox_.put_back(std::move(all), {}, moment());
    return;
  }
  std::vector<Letter> messages;
  for (const auto& letter : letters) messages.push_back(letter_of(letter));
  const auto outcomes = send_those_that_say_something(messages, stop);
  // Broken off in the midst of it: whether it was taken is as unknown as after a crash, and stands on the disk as that.
  if (stop.stop_requested() &&
      std::ranges::any_of(outcomes, [](const Outcome& one) { return one.kind == Outcome::Kind::retry; }))
    return;
  std::vector<Delivery> done, left;
  std::optional<std::chrono::seconds> after;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    note(outcomes[i], letters[i].size());
    write_into(letters[i], outcomes[i]);
    const bool again = outcomes[i].kind == Outcome::Kind::retry;
    if (again) after = outcomes[i].after;
    std::ranges::move(letters[i], std::back_inserter(again ? left : done));
  }
  conclude(std::move(done), std::move(left), after);
}

/// Whatever a provider answers, the gateway goes on.
std::vector<Outcome> Courier::send_safely(const std::vector<Letter>& letters, const std::stop_token& stop) try {
  return channel_->send_all(letters, stop);
} catch (const std::exception& problem) {
  return {letters.size(), {Outcome::Kind::retry, fmt::format("its answer is not understood: {}", problem.what()), {}}};
}

/// An alert may have been deleted since.
std::vector<Outcome> Courier::send_those_that_say_something(const std::vector<Letter>& messages,
                                                            const std::stop_token& stop) {
  std::vector<Letter> saying;
  std::ranges::copy_if(messages, std::back_inserter(saying), [](const Letter& one) { return !one.told.empty(); });
  const auto sent = saying.empty() ? std::vector<Outcome>{} : send_safely(saying, stop);
  std::vector<Outcome> outcomes;
  std::size_t next = 0;
  for (const auto& message : messages) {
    if (message.told.empty()) outcomes.push_back({Outcome::Kind::refused, "the alert is gone", {}});
    else outcomes.push_back(sent[next++]);
  }
  return outcomes;
}

/// What came of a try, in the deliveries that were in it.
void Courier::write_into(std::vector<Delivery>& letter, const Outcome& outcome) const {
  for (auto& delivery : letter) {
    delivery.response = outcome.response;
    delivery.sending_at.reset();
    if (outcome.kind == Outcome::Kind::sent) delivery.status = DeliveryStatus::sent, delivery.sent_at = clock_.now();
    if (outcome.kind == Outcome::Kind::bounced) delivery.status = DeliveryStatus::bounced;
    if (outcome.kind == Outcome::Kind::refused) delivery.status = DeliveryStatus::failed;
  }
}

void Courier::conclude(std::vector<Delivery> done, std::vector<Delivery> left,
                       std::optional<std::chrono::seconds> after) {
  mailbox_.settle(done);
  if (!left.empty()) {
    const auto again = mailbox_.put_back(left, after, moment());
    for (auto& delivery : left) delivery.sending_at.reset(), delivery.due_at = again;
  }
  storage::Changes changes{.deliveries = std::move(done)};
  std::ranges::move(left, std::back_inserter(changes.deliveries));
  if (const auto written = desk_.put(changes); !written) {
    log::error(fmt::format("{}: what became of a message could not be written down yet: {}", config_.id,
                           written.error().message));
    std::ranges::move(changes.deliveries, std::back_inserter(unwritten_.deliveries));
  }
}

void Courier::note(const Outcome& outcome, std::size_t deliveries) {
  const bool is_sent = outcome.kind == Outcome::Kind::sent;
  {
    const std::scoped_lock lock(mutex_);
    if (is_sent) status_.sent += deliveries, status_.last_error.clear();
    else status_.last_error = outcome.response;
    if (!is_sent && outcome.kind != Outcome::Kind::retry) status_.failed += deliveries;
  }
  if (!is_sent) log::warning(fmt::format("{}: {}", config_.id, outcome.response));
}

Result<std::string> Courier::test(const std::string& recipient, const std::stop_token& stop) {
  auto recipients =
      config_.kind == ChannelKind::mqtt ? std::vector<std::string>{config_.mqtt.topic} : config_.recipients;
  if (!recipient.empty()) recipients = {recipient};
  if (recipients.empty()) return fail(ErrorKind::permanent, "the channel has no recipients; name one");
  // A sender of its own: the courier's thread may be waiting for an answer just now.
  const auto own = config_.kind == ChannelKind::mqtt ? nullptr : make_channel(config_, gateway_id_);
  auto* const sender = own ? own.get() : channel_.get();
  std::string said;
  for (const auto& one : recipients) {
    Letter letter{.id = random_uuid(), .recipient = one};
    letter.subject = "wattd: a test message";
    letter.text = fmt::format("This is a test of the channel {} on gateway {}.", config_.id, gateway_id_.substr(0, 8));
    Outcome outcome;
    try {
      outcome = sender->send(letter, stop);
    } catch (const std::exception& problem) {
      outcome = {Outcome::Kind::retry, problem.what(), {}};
    }
    if (outcome.kind != Outcome::Kind::sent)
      return fail(ErrorKind::retry, fmt::format("{}: {}", one, outcome.response));
    said += fmt::format("{}{}: {}", said.empty() ? "" : "; ", one, outcome.response);
  }
  return said;
}

ChannelStatus Courier::status() const {
  const std::scoped_lock lock(mutex_);
  return status_;
}

}  // namespace wattd::notify
