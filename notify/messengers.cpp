// WhatsApp through Twilio, and Telegram.
#include <fmt/format.h>
#include <json/reader.h>
#include <json/value.h>

#include <algorithm>
#include <array>

#include "notify/channel.h"
#include "notify/http.h"
#include "telemetry/json_text.h"

namespace wattd::notify {
namespace {

Json::Value object_in(const std::string& text) {
  Json::CharReaderBuilder builder;
  const std::unique_ptr<Json::CharReader> reader(builder.newCharReader());
  Json::Value json;
  std::string problem;
  const bool valid = reader->parse(text.data(), text.data() + text.size(), &json, &problem);
  return valid && json.isObject() ? json : Json::Value(Json::objectValue);
}

/// What holds for every provider: there was no answer, or too much was asked, or who asked is not known.
std::optional<Outcome> passing(const HttpAnswer& answer) {
  if (answer.status == 0) return Outcome{Outcome::Kind::retry, answer.problem, {}};
  const bool may_pass = answer.status >= 500 || answer.status == 401 || answer.status == 403 || answer.status == 408 ||
                        answer.status == 425 || answer.status == 429;
  if (!may_pass) return std::nullopt;
  return Outcome{Outcome::Kind::retry, fmt::format("{} {}", answer.status, answer.body), answer.retry_after};
}

class Twilio final : public Channel {
 public:
  explicit Twilio(TwilioConfig config) : config_(std::move(config)) {}

  Outcome send(const Letter& letter, const std::stop_token& stop) override {
    const auto answer =
        post({.url = fmt::format("{}/2010-04-01/Accounts/{}/Messages.json", config_.url, url_encoded(config_.account)),
              .body = fmt::format("To={}&From={}&Body={}", url_encoded("whatsapp:" + letter.recipient),
                                  url_encoded("whatsapp:" + config_.from), url_encoded(letter.text)),
              .headers = {"Content-Type: application/x-www-form-urlencoded"},
              .user = config_.account,
              .password = config_.token,
              .ca_file = config_.ca_file},
             stop);
    const auto json = object_in(answer.body);
    if (answer.status / 100 == 2)
      return {Outcome::Kind::sent, json["sid"].isString() ? json["sid"].asString() : "", {}};
    // Of these it is the recipient that is wrong. Source: twilio.com/docs/api/errors.
    constexpr std::array kOfRecipient{21211, 21214, 21610, 21614, 63003, 63024};
    const int code = json["code"].isInt() ? json["code"].asInt() : 0;
    if (std::ranges::find(kOfRecipient, code) != kOfRecipient.end())
      return {Outcome::Kind::bounced, fmt::format("{} {}", answer.status, answer.body), {}};
    if (auto outcome = passing(answer)) return *outcome;
    return {Outcome::Kind::refused, fmt::format("{} {}", answer.status, answer.body), {}};
  }

 private:
  TwilioConfig config_;
};

class Telegram final : public Channel {
 public:
  explicit Telegram(TelegramConfig config) : config_(std::move(config)) {}

  Outcome send(const Letter& letter, const std::stop_token& stop) override {
    std::string body = "{\"chat_id\":";
    append_json(body, std::string_view(letter.recipient));
    body += ",\"text\":";
    append_json(body, std::string_view(letter.text));
    const auto answer = post({.url = fmt::format("{}/bot{}/sendMessage", config_.url, config_.token),
                              .body = body + "}",
                              .headers = {"Content-Type: application/json"},
                              .ca_file = config_.ca_file},
                             stop);
    const auto json = object_in(answer.body);
    if (answer.status / 100 == 2 && json["ok"].isBool() && json["ok"].asBool())
      return {Outcome::Kind::sent, answer.body.substr(0, 200), {}};
    const auto what = fmt::format("{} {}", answer.status,
                                  json["description"].isString() ? json["description"].asString() : answer.body);
    // A chat that is not there, or a person who has shown the bot the door.
    const bool is_about_chat = (answer.status == 400 && what.find("chat not found") != std::string::npos) ||
                               (answer.status == 403 && what.find("blocked") != std::string::npos);
    if (is_about_chat) return {Outcome::Kind::bounced, what, {}};
    if (auto outcome = passing(answer)) {
      // It says in its body how long it wants to be left alone.
      const auto& parameters = json["parameters"];
      if (parameters.isObject() && parameters["retry_after"].isInt())
        outcome->after = std::chrono::seconds{parameters["retry_after"].asInt()};
      return *outcome;
    }
    return {Outcome::Kind::refused, what, {}};
  }

 private:
  TelegramConfig config_;
};

}  // namespace

std::unique_ptr<Channel> twilio_channel(const TwilioConfig& config) { return std::make_unique<Twilio>(config); }
std::unique_ptr<Channel> telegram_channel(const TelegramConfig& config) { return std::make_unique<Telegram>(config); }

}  // namespace wattd::notify
