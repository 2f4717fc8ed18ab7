#pragma once
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "config/table.h"
#include "drivers/mqtt/client.h"
#include "notify/letter.h"
#include "notify/text.h"

namespace wattd::notify {

/// Where e-mail is handed in.
struct EmailConfig {
  std::string url;       ///< smtp://host:port, or smtps:// where TLS comes first.
  bool starttls = true;  ///< Insisted on; false only for a server on this machine or in a closed network.
  std::string username, password;
  std::string from;
  std::string ca_file;
  bool operator==(const EmailConfig&) const = default;
};

/// Twilio's API for WhatsApp. Source: twilio.com/docs/messaging/api/message-resource.
struct TwilioConfig {
  std::string url = "https://api.twilio.com";
  std::string account, token;
  std::string from;  ///< A number such as +14155238886.
  std::string ca_file;
  bool operator==(const TwilioConfig&) const = default;
};

/// Source: core.telegram.org/bots/api#sendmessage.
struct TelegramConfig {
  std::string url = "https://api.telegram.org";
  std::string token;
  std::string ca_file;
  bool operator==(const TelegramConfig&) const = default;
};

/// Recipients are URLs; docs/formats/notifications.md says what they get.
struct WebhookConfig {
  std::string secret;
  std::string ca_file;
  bool operator==(const WebhookConfig&) const = default;
};

/// Each change of an alert as a message of its own, as soon as it is on the disk.
struct MqttConfig {
  drivers::mqtt::Broker broker;
  std::string topic = "wattd/alerts";  ///< The device's id is put behind it.
  bool operator==(const MqttConfig&) const = default;
};

enum class ChannelKind { email, whatsapp, telegram, webhook, mqtt };
std::string_view to_string(ChannelKind kind);
/// What a recipient of such a channel has to be; empty where it is that.
std::string_view expected_instead_of(ChannelKind kind, std::string_view recipient);

/// How little a recipient is bothered.
struct Manners {
  int burst = 3;                   ///< Messages at once,
  std::chrono::seconds every{60};  ///< and one more after so long; what waits then goes out as one.
  std::optional<Hours> quiet;      ///< Local time in which only the gravest is told.
  Severity breaks_quiet = Severity::critical;
  std::chrono::seconds first_pause{10};     ///< After a try that failed; doubled from one to the next,
  std::chrono::seconds longest_pause{900};  ///< up to this,
  std::chrono::seconds give_up{24 * 3600};  ///< and given up after this.
  bool operator==(const Manners&) const = default;
};

/// One way to tell people, or machines.
struct ChannelConfig {
  std::string id;
  ChannelKind kind = ChannelKind::email;
  std::vector<std::string> recipients;
  Manners manners;
  Texts texts;
  EmailConfig email;
  TwilioConfig twilio;
  TelegramConfig telegram;
  WebhookConfig webhook;
  MqttConfig mqtt;
  bool operator==(const ChannelConfig&) const = default;
};

/// Reads one [[channels]] table. Errors: throws config::ConfigError.
ChannelConfig parse_channel(const config::Table& table);

/// Hands letters over to a provider.
/// Threads: one, except that test messages come from another.
class Channel {
 public:
  virtual ~Channel() = default;
  virtual Outcome send(const Letter& letter, const std::stop_token& stop) = 0;
  /// In order. Where one cannot be told now, those after it need not be tried.
  virtual std::vector<Outcome> send_all(const std::vector<Letter>& letters, const std::stop_token& stop);
};

/// Errors: throws std::runtime_error for what cannot be set up at all.
std::unique_ptr<Channel> make_channel(const ChannelConfig& config, const std::string& gateway_id);

std::unique_ptr<Channel> email_channel(const EmailConfig& config);
std::unique_ptr<Channel> twilio_channel(const TwilioConfig& config);
std::unique_ptr<Channel> telegram_channel(const TelegramConfig& config);
std::unique_ptr<Channel> webhook_channel(const WebhookConfig& config, const std::string& gateway_id);
std::unique_ptr<Channel> mqtt_channel(const ChannelConfig& config, const std::string& gateway_id);

}  // namespace wattd::notify
