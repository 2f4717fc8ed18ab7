#include <gtest/gtest.h>

#include <algorithm>

#include "notify/channel.h"

namespace wattd::notify {
namespace {

ChannelConfig channel(const std::string& toml) {
  return parse_channel(config::parse("[[channels]]\n" + toml, "c.toml").tables("channels")[0]);
}

std::string complaint(const std::string& toml) {
  try {
    channel(toml);
  } catch (const config::ConfigError& problem) {
    return problem.what();
  }
  return "nothing";
}

const std::string kEmail = "id = \"e\"\nkind = \"email\"\nurl = \"smtp://mail:587\"\nfrom = \"w@x.y\"\n";

TEST(ParseChannel, reads_an_email_channel) {
  const auto email = channel(kEmail + "recipients = [\"a@b.c\"]\nquiet_hours = \"22:00-07:00\"\nlanguage = \"de\"\n");
  EXPECT_EQ(email.email.url, "smtp://mail:587");
  EXPECT_TRUE(email.email.starttls);
  EXPECT_EQ(email.manners.quiet, hours_from("22:00-07:00"));
}

TEST(ParseChannel, says_what_is_wrong_and_what_was_expected) {
  EXPECT_EQ(complaint("id = \"e\"\nkind = \"fax\"\n"),
            "c.toml:3:8: channels[0].kind is 'fax'; expected one of email, whatsapp, telegram, webhook, mqtt");
  EXPECT_NE(complaint("id = \"e\"\n").find("expected one of email"), std::string::npos);
  EXPECT_NE(complaint(kEmail + "recipients = [\"a b\"]\n").find("operator@example.com"), std::string::npos);
  EXPECT_NE(complaint(kEmail + "username = \"u\"\n").find("both username and password"), std::string::npos);
  EXPECT_NE(complaint(kEmail + "username = \"u\"\npassword = \"p\"\ntls = \"off\"\n").find("where there is a password"),
            std::string::npos);
  EXPECT_NE(complaint(kEmail + "[channels.templates]\nraised = \"{colour}\"\n").find("not {colour}"),
            std::string::npos);
  EXPECT_NE(complaint("id = \"w\"\nkind = \"whatsapp\"\naccount = \"a\"\ntoken = \"t\"\nfrom = \"+1\"\n"
                      "recipients = [\"0171 123\"]\n")
                .find("+491711234567"),
            std::string::npos);
  EXPECT_NE(complaint("id = \"h\"\nkind = \"webhook\"\nrecipients = [\"ftp://x\"]\n").find("expected a URL"),
            std::string::npos);
}

Told told(const std::string& event, const std::string& message = "too hot") {
  Alert alert{
      .id = "a1", .device_id = "D1", .severity = Severity::high, .message = message, .count = 3, .last_value = 61.5};
  alert.created_at = from_unix_us(1'770'463'560'000'000);
  alert.last_seen_at = alert.created_at;
  if (event == "resolved") alert.resolved_at = alert.created_at + std::chrono::minutes{90};
  return {alert, "Hot", event};
}

TEST(Compose, one_change_in_words_and_local_time) {
  Letter letter{.told = {told("resolved")}};
  compose(letter, {}, Calendar("Europe/Berlin"), "gw", 1000);
  EXPECT_EQ(letter.subject, "[high] Hot: D1 resolved");
  EXPECT_EQ(letter.text, "Resolved after 90 min: too hot\nSeen 3 times, last value 61.5. Gateway gw.");
  letter.told = {told("raised")};
  compose(letter, {.language = "de"}, Calendar("Europe/Berlin"), "gw", 1000);
  EXPECT_EQ(letter.text, "too hot\nSchwere hoch, seit 2026-02-07 12:26. Gateway gw.");
  compose(letter, {.templates = {{"raised", "{rule}/{value}/{nothing}"}}}, Calendar(), "gw", 1000);
  EXPECT_EQ(letter.text, "Hot/61.5/{nothing}");
}

TEST(Compose, many_changes_are_a_list_that_is_cut_between_them) {
  Letter letter;
  for (int i = 0; i < 1000; ++i) letter.told.push_back(told("raised", "number " + std::to_string(i)));
  compose(letter, {}, Calendar(), "gw", 1600);
  EXPECT_LE(letter.text.size(), 1600u);
  EXPECT_TRUE(letter.text.starts_with("1000 changes of alerts on gateway gw:\n- 2026-02-07 11:26 raised: number 0\n"))
      << letter.text;
  const auto lines = static_cast<std::size_t>(std::ranges::count(letter.text, '\n'));
  EXPECT_TRUE(letter.text.ends_with("... and " + std::to_string(1000 - lines + 1) + " more")) << letter.text;
}

}  // namespace
}  // namespace wattd::notify
