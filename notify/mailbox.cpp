#include "notify/mailbox.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace wattd::notify {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 30s;      // at hours of the day
constexpr auto kMostAsked = 1h;  // that a provider may ask to be left alone for

}  // namespace

void Mailbox::add(Delivery delivery, Severity severity, Moment moment) {
  auto& recipient = recipients_[delivery.recipient];
  // What was to wait before a restart waits on, but no longer than it would have.
  if (delivery.due_at && *delivery.due_at > moment.now) {
    const auto left = std::min<std::chrono::microseconds>(*delivery.due_at - moment.now, manners_.longest_pause);
    recipient.not_before = std::max(recipient.not_before, moment.mono + left);
    recipient.failures = std::max(recipient.failures, delivery.attempts);
  }
  const auto age = std::clamp<std::chrono::microseconds>(moment.now - delivery.created_at, 0us, manners_.give_up);
  recipient.waiting.push_back({std::move(delivery), severity, moment.mono - age});
}

bool Mailbox::may_be_told(Severity severity, Timestamp now) const {
  if (!manners_.quiet || severity >= manners_.breaks_quiet) return true;
  const auto wall = calendar_.wall_at(now);
  return !manners_.quiet->hold(wall.weekday, wall.minute);
}

void Mailbox::fill(Recipient& recipient, Instant now) const {
  const double seconds = recipient.filled ? std::chrono::duration<double>(now - *recipient.filled).count()
                                          : std::numeric_limits<double>::max();
  recipient.tokens = std::min<double>(
      manners_.burst, recipient.tokens + seconds / std::chrono::duration<double>(manners_.every).count());
  recipient.filled = now;
}

std::optional<std::vector<Delivery>> Mailbox::take(Moment moment) {
  for (auto& [name, recipient] : recipients_) {
    if (recipient.waiting.empty() || !recipient.out.empty() || moment.mono < recipient.not_before) continue;
    fill(recipient, moment.mono);
    if (recipient.tokens < 1) continue;
    std::vector<Delivery> batch;
    // What may have been taken before a crash goes once more as it went then, so that it can be told for the same.
    const auto unsure =
        std::ranges::find_if(recipient.waiting, [](const Waiting& one) { return one.delivery.sending_at.has_value(); });
    const auto alone = unsure == recipient.waiting.end() ? std::string() : unsure->delivery.message_id;
    std::erase_if(recipient.waiting, [&](Waiting& one) {
      if (!alone.empty() && one.delivery.message_id != alone) return false;
      if (alone.empty() && !may_be_told(one.severity, moment.now)) return false;
      recipient.out[one.delivery.id] = {one.severity, one.since};
      batch.push_back(std::move(one.delivery));
      return true;
    });
    if (!batch.empty()) return batch;
  }
  return std::nullopt;
}

std::vector<Delivery> Mailbox::take_given_up(Moment moment) {
  std::vector<Delivery> old;
  for (auto& [name, recipient] : recipients_) {
    std::erase_if(recipient.waiting, [&](Waiting& one) {
      // What waits for the morning is not given up; what nobody took is.
      if (one.delivery.attempts == 0 || moment.mono - one.since < manners_.give_up) return false;
      old.push_back(std::move(one.delivery));
      return true;
    });
  }
  return old;
}

void Mailbox::settle(const std::vector<Delivery>& deliveries) {
  if (deliveries.empty()) return;
  auto& recipient = recipients_[deliveries.front().recipient];
  for (const auto& delivery : deliveries) recipient.out.erase(delivery.id);
  recipient.failures = 0;
  recipient.tokens = std::max(0.0, recipient.tokens - 1);
}

Timestamp Mailbox::put_back(std::vector<Delivery> deliveries, std::optional<std::chrono::seconds> after,
                            Moment moment) {
  auto& recipient = recipients_[deliveries.front().recipient];
  std::chrono::duration<double> pause = manners_.first_pause * std::pow(2.0, std::min(recipient.failures, 20));
  pause = std::min<std::chrono::duration<double>>(pause, manners_.longest_pause);
  // Not all gateways of a plant at once.
  pause *= std::uniform_real_distribution(0.8, 1.2)(random_);
  if (after) pause = std::max<std::chrono::duration<double>>(pause, std::min<std::chrono::seconds>(*after, kMostAsked));
  const auto wait = std::chrono::duration_cast<std::chrono::microseconds>(pause);
  recipient.failures += 1;
  recipient.not_before = moment.mono + wait;
  std::vector<Waiting> back;
  for (auto& one : deliveries) {
    const auto known = recipient.out.extract(one.id).mapped();
    back.push_back({std::move(one), known.first, known.second});
  }
  // They were first, and stay so.
  recipient.waiting.insert(recipient.waiting.begin(), std::make_move_iterator(back.begin()),
                           std::make_move_iterator(back.end()));
  return moment.now + wait;
}

Instant Mailbox::next(Moment moment) const {
  auto soonest = moment.mono + 1h;
  for (const auto& [name, recipient] : recipients_) {
    if (recipient.waiting.empty() || !recipient.out.empty()) continue;
    auto due = std::max(recipient.not_before, moment.mono);
    if (recipient.filled) {
      const std::chrono::duration<double> missing = (1 - recipient.tokens) * manners_.every;
      due = std::max(due, *recipient.filled + std::chrono::ceil<std::chrono::milliseconds>(missing));
    }
    const bool any = std::ranges::any_of(recipient.waiting,
                                         [&](const Waiting& one) { return may_be_told(one.severity, moment.now); });
    soonest = std::min(soonest, any ? due : std::max(due, moment.mono + kLook));
  }
  return soonest;
}

std::size_t Mailbox::size() const {
  std::size_t count = 0;
  for (const auto& [name, recipient] : recipients_) count += recipient.waiting.size() + recipient.out.size();
  return count;
}

}  // namespace wattd::notify
