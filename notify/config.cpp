// [[channels]]
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "notify/channel.h"

namespace wattd::notify {
namespace {

using namespace std::chrono_literals;

constexpr std::array<std::string_view, 5> kKinds{"email", "whatsapp", "telegram", "webhook", "mqtt"};

bool is_url(std::string_view text, std::initializer_list<std::string_view> schemes) {
  return std::ranges::any_of(schemes, [&](std::string_view scheme) {
    return text.starts_with(scheme) && text.size() > scheme.size() && text.find_first_of(" \r\n") == text.npos;
  });
}

std::string url_of(const config::Table& table, const std::string& fallback,
                   std::initializer_list<std::string_view> schemes, const char* expected) {
  auto url = table.text("url", fallback);
  if (!is_url(url, schemes)) table.fail("url", expected);
  while (url.ends_with('/')) url.pop_back();
  return url;
}

std::string required(const config::Table& table, const char* key, std::string text) {
  if (text.empty()) table.fail(key, "expected a text");
  return text;
}

void parse_email(const config::Table& table, ChannelConfig& channel) {
  auto& email = channel.email;
  email.url =
      url_of(table, "", {"smtp://", "smtps://"}, "expected the mail server, such as smtp://mail.example.com:587");
  email.starttls = table.choice<bool>("tls", {{"required", true}, {"off", false}}, true);
  email.username = table.text("username", "");
  email.password = table.secret("password");
  if (email.username.empty() != email.password.empty())
    table.fail(email.username.empty() ? "username" : "password", "expected both username and password, or neither");
  if (!email.starttls && !email.password.empty() && !email.url.starts_with("smtps://"))
    table.fail("tls", "expected \"required\" where there is a password");
  email.from = required(table, "from", table.text("from", ""));
  if (email.from.find('@') == std::string::npos || email.from.find_first_of("\r\n<>") != std::string::npos)
    table.fail("from", "expected an address such as wattd@example.com");
  email.ca_file = table.readable_file("ca_file");
}

void check_recipients(const config::Table& table, const ChannelConfig& channel) {
  for (const auto& one : channel.recipients) {
    if (const auto expected = expected_instead_of(channel.kind, one); !expected.empty())
      table.fail("recipients", fmt::format("has {:?}; expected {}", one, expected));
  }
}

Manners parse_manners(const config::Table& table) {
  Manners manners;
  const auto seconds = [&](const char* key, std::chrono::seconds least, std::chrono::seconds most,
                           std::chrono::seconds fallback) {
    return std::chrono::duration_cast<std::chrono::seconds>(table.duration(key, least, most, fallback));
  };
  manners.burst = static_cast<int>(table.integer("burst", 1, 1000, manners.burst));
  manners.every = seconds("every", 1s, 24h, manners.every);
  if (table.has("quiet_hours")) {
    manners.quiet = hours_from(table.text("quiet_hours"));
    if (!manners.quiet)
      table.fail("quiet_hours", "expected days, hours or both, such as \"22:00-07:00\" or \"Sat,Sun\"");
  }
  manners.breaks_quiet = table.choice<Severity>("breaks_quiet",
                                                {{"low", Severity::low},
                                                 {"medium", Severity::medium},
                                                 {"high", Severity::high},
                                                 {"critical", Severity::critical}},
                                                manners.breaks_quiet);
  manners.first_pause = seconds("first_pause", 1s, 1h, manners.first_pause);
  manners.longest_pause = seconds("longest_pause", manners.first_pause, 24h, manners.longest_pause);
  manners.give_up = seconds("give_up", 1min, 24h * 30, manners.give_up);
  return manners;
}

}  // namespace

std::string_view expected_instead_of(ChannelKind kind, std::string_view recipient) {
  constexpr auto kNone = std::string_view::npos;
  switch (kind) {
    case ChannelKind::email:
      if (recipient.find('@') == kNone || recipient.find_first_of("\r\n<> ") != kNone)
        return "an address such as operator@example.com";
      break;
    case ChannelKind::whatsapp:
      if (recipient.size() <= 5 || recipient[0] != '+' || recipient.find_first_not_of("0123456789", 1) != kNone)
        return "a number such as +491711234567";
      break;
    case ChannelKind::webhook:
      if (!is_url(recipient, {"http://", "https://"})) return "a URL";
      break;
    case ChannelKind::telegram:
      if (recipient.empty() || recipient.find_first_of("\r\n ") != kNone)
        return "a chat's number, or its name such as @plant_alerts";
      break;
    case ChannelKind::mqtt: return "none: who subscribes is told";
  }
  return {};
}

std::string_view to_string(ChannelKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

ChannelConfig parse_channel(const config::Table& table) {
  ChannelConfig channel;
  channel.id = required(table, "id", table.text("id"));
  if (!table.has("kind")) table.fail("kind", "expected one of email, whatsapp, telegram, webhook, mqtt");
  channel.kind = table.choice<ChannelKind>("kind",
                                           {{"email", ChannelKind::email},
                                            {"whatsapp", ChannelKind::whatsapp},
                                            {"telegram", ChannelKind::telegram},
                                            {"webhook", ChannelKind::webhook},
                                            {"mqtt", ChannelKind::mqtt}},
                                           ChannelKind::email);
  if (channel.kind != ChannelKind::mqtt) {
    channel.recipients = table.texts("recipients");
    channel.manners = parse_manners(table);
    channel.texts = parse_texts(table);
    check_recipients(table, channel);
  }
  switch (channel.kind) {
    case ChannelKind::email: parse_email(table, channel); break;
    case ChannelKind::whatsapp:
      channel.twilio.url = url_of(table, channel.twilio.url, {"http://", "https://"}, "expected a URL");
      channel.twilio.account = required(table, "account", table.text("account"));
      channel.twilio.token = required(table, "token", table.secret("token"));
      channel.twilio.from = required(table, "from", table.text("from"));
      channel.twilio.ca_file = table.readable_file("ca_file");
      break;
    case ChannelKind::telegram:
      channel.telegram.url = url_of(table, channel.telegram.url, {"http://", "https://"}, "expected a URL");
      channel.telegram.token = required(table, "token", table.secret("token"));
      channel.telegram.ca_file = table.readable_file("ca_file");
      break;
    case ChannelKind::webhook:
      channel.webhook.secret = table.secret("secret");
      channel.webhook.ca_file = table.readable_file("ca_file");
      break;
    case ChannelKind::mqtt:
      channel.mqtt.broker = drivers::mqtt::parse_broker(table);
      channel.mqtt.topic = table.text("topic", channel.mqtt.topic);
      if (channel.mqtt.topic.empty() || channel.mqtt.topic.find_first_of("+#") != std::string::npos)
        table.fail("topic", "expected levels of a topic such as wattd/alerts");
      break;
  }
  table.reject_unknown_keys();
  return channel;
}

std::vector<Outcome> Channel::send_all(const std::vector<Letter>& letters, const std::stop_token& stop) {
  std::vector<Outcome> outcomes;
  for (const auto& letter : letters) {
    const bool may_go = outcomes.empty() || outcomes.back().kind != Outcome::Kind::retry;
    outcomes.push_back(may_go ? send(letter, stop) : outcomes.back());
  }
  return outcomes;
}

std::unique_ptr<Channel> make_channel(const ChannelConfig& config, const std::string& gateway_id) {
  switch (config.kind) {
    case ChannelKind::email: return email_channel(config.email);
    case ChannelKind::whatsapp: return twilio_channel(config.twilio);
    case ChannelKind::telegram: return telegram_channel(config.telegram);
    case ChannelKind::webhook: return webhook_channel(config.webhook, gateway_id);
    case ChannelKind::mqtt: return mqtt_channel(config, gateway_id);
  }
  return nullptr;
}

}  // namespace wattd::notify
