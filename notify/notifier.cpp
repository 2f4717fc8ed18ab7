#include "notify/notifier.h"

#include <fmt/format.h>

#include <algorithm>

#include "telemetry/identity.h"
#include "telemetry/log.h"

namespace wattd::notify {

Notifier::Notifier(const std::vector<ChannelConfig>& channels, std::vector<std::string> relays,
                   const std::string& gateway_id, const std::string& database, const storage::Vault& vault, Desk& desk,
                   const Clock& clock)
    : desk_(desk), clock_(clock), relays_(std::move(relays)) {
  for (const auto& config : channels)
    couriers_.push_back(std::make_unique<Courier>(config, gateway_id, database, vault, desk, clock));
}

void Notifier::begin(const std::vector<Announcement>& announced, const std::vector<Delivery>& pending) {
  has_begun_ = true;
  std::map<std::string, std::pair<std::vector<Announced>, std::vector<Delivery>>> by_channel;
  for (const auto& one : announced) by_channel[one.channel].first.push_back({one, {}});
  for (const auto& one : pending) by_channel[one.channel].second.push_back(one);
  for (const auto& courier : couriers_) {
    if (auto mine = by_channel.extract(courier->config().id))
      courier->begin(std::move(mine.mapped().first), std::move(mine.mapped().second));
  }
  std::vector<Delivery> orphans;
  for (auto& [channel, rest] : by_channel) {
    say_nobody_was_told(rest.first);
    for (auto& delivery : rest.second) {
      delivery.status = DeliveryStatus::failed;
      delivery.response = fmt::format("no channel is called {:?} any more", channel);
      orphans.push_back(std::move(delivery));
    }
  }
  if (!orphans.empty()) desk_.note({.deliveries = std::move(orphans)});
}

void Notifier::tell(const std::vector<Announcement>& announced, const std::vector<Alert>& alerts) {
  if (announced.empty() || !has_begun_) return;
  std::map<std::string, std::vector<Announced>> by_channel;
  for (const auto& one : announced) {
    Announced entry{one, {}};
    // The last of several is the alert as it is now.
    const auto alert =
        std::find_if(alerts.rbegin(), alerts.rend(), [&](const Alert& a) { return a.id == one.alert_id; });
    if (alert != alerts.rend()) entry.alert = *alert;
    by_channel[one.channel].push_back(std::move(entry));
  }
  for (const auto& courier : couriers_) {
    if (auto mine = by_channel.extract(courier->config().id)) courier->hand_over(std::move(mine.mapped()));
  }
  for (const auto& [channel, rest] : by_channel) say_nobody_was_told(rest);
}

void Notifier::say_nobody_was_told(const std::vector<Announced>& announced) {
  storage::Changes changes;
  for (const auto& [announcement, alert] : announced) {
    const bool is_relay = std::ranges::find(relays_, announcement.channel) != relays_.end();
    Delivery delivery{.id = random_uuid(),
                      .alert_id = announcement.alert_id,
                      .channel = announcement.channel,
                      .event = announcement.event,
                      .status = is_relay ? DeliveryStatus::sent : DeliveryStatus::failed,
                      .response = is_relay ? "the relay follows the alert"
                                           : fmt::format("no channel is called {:?}", announcement.channel),
                      .created_at = clock_.now()};
    if (is_relay) delivery.sent_at = delivery.created_at;
    else log::error(fmt::format("nobody was told of an alert: no channel is called {:?}", announcement.channel));
    changes.told.push_back(announcement);
    changes.deliveries.push_back(std::move(delivery));
  }
  if (!changes.told.empty()) desk_.note(std::move(changes));
}

Result<std::string> Notifier::test(const std::string& channel, const std::string& recipient) {
  if (std::ranges::find(relays_, channel) != relays_.end())
    return fail(ErrorKind::permanent, "a relay follows alerts; it is not switched for a test");
  const auto courier = std::ranges::find_if(couriers_, [&](const auto& one) { return one->config().id == channel; });
  if (courier == couriers_.end())
    return fail(ErrorKind::permanent,
                fmt::format("no channel is called {:?}; a [[channels]] table makes one", channel));
  const std::scoped_lock lock(testing_);
  return (*courier)->test(recipient, {});
}

std::vector<ChannelStatus> Notifier::status() const {
  std::vector<ChannelStatus> all;
  for (const auto& courier : couriers_) all.push_back(courier->status());
  return all;
}

}  // namespace wattd::notify
