#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>

#include "notify/channel.h"
#include "notify/http.h"

namespace wattd::notify {
namespace {

std::string base64(std::string_view bytes) {
  static constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j)
      group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j) out += i + j > bytes.size() ? '=' : kLetters[group >> (18 - 6 * j) & 63];
  }
  return out;
}

/// A header's text: as it is, or as encoded words where it has to be. Source: RFC 2047.
std::string header_text(const std::string& text) {
  const bool plain = std::ranges::all_of(text, [](unsigned char c) { return c >= 32 && c < 127; });
  if (plain && text.size() < 60) return text;
  std::string out;
  std::size_t begin = 0;
  while (begin < text.size()) {
    auto end = std::min(begin + 42, text.size());
    // No character is cut in two.
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    out += fmt::format("{}=?UTF-8?B?{}?=", out.empty() ? "" : "\r\n ", base64(text.substr(begin, end - begin)));
    begin = end;
  }
  return out;
}

/// In lines that any server takes. Source: RFC 5322 and RFC 2045.
std::string message_of(const Letter& letter, const std::string& from) {
  const auto encoded = base64(letter.text + "\n");
  std::string body;
  for (std::size_t i = 0; i < encoded.size(); i += 76) body += encoded.substr(i, 76) + "\r\n";
  const auto domain = from.substr(from.find('@') + 1);
  const auto now = std::time(nullptr);
  return fmt::format(
      "Date: {:%a, %d %b %Y %H:%M:%S} +0000\r\nFrom: <{}>\r\nTo: <{}>\r\nSubject: {}\r\nMessage-ID: <{}@{}>\r\n"
      "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
      "Content-Transfer-Encoding: base64\r\n\r\n{}",
      fmt::gmtime(now), from, letter.recipient, header_text(letter.subject), letter.id, domain, body);
}

struct Upload {
  std::string_view left;
  static std::size_t read(char* into, std::size_t size, std::size_t count, void* self) noexcept {
    auto& upload = *static_cast<Upload*>(self);
    const auto taken = std::min(size * count, upload.left.size());
    std::memcpy(into, upload.left.data(), taken);
    upload.left.remove_prefix(taken);
    return taken;
  }
};

/// The server's last line, from what libcurl reports of the conversation.
int note_answer(CURL*, curl_infotype type, char* text, std::size_t size, void* last) noexcept {
  // 221 is how it takes its leave.
  if (type == CURLINFO_HEADER_IN && !std::string_view(text, size).starts_with("221")) {
    auto& line = *static_cast<std::string*>(last);
    line.assign(text, std::min<std::size_t>(size, 500));
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.pop_back();
  }
  return 0;
}

class Email final : public Channel {
 public:
  explicit Email(EmailConfig config) : config_(std::move(config)) {}

  Outcome send(const Letter& letter, const std::stop_token& stop) override {
    const auto curl = make_curl(config_.ca_file, stop);
    auto* const handle = curl.get();
    const auto message = message_of(letter, config_.from);
    Upload upload{message};
    std::string said;
    std::array<char, CURL_ERROR_SIZE> problem{};
    const CurlList recipients(curl_slist_append(nullptr, ("<" + letter.recipient + ">").c_str()));
    curl_easy_setopt(handle, CURLOPT_URL, config_.url.c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(handle, CURLOPT_USE_SSL, config_.starttls ? CURLUSESSL_ALL : CURLUSESSL_NONE);
    if (!config_.username.empty()) {
      curl_easy_setopt(handle, CURLOPT_USERNAME, config_.username.c_str());
      curl_easy_setopt(handle, CURLOPT_PASSWORD, config_.password.c_str());
    }
    curl_easy_setopt(handle, CURLOPT_MAIL_FROM, ("<" + config_.from + ">").c_str());
    curl_easy_setopt(handle, CURLOPT_MAIL_RCPT, recipients.get());
    curl_easy_setopt(handle, CURLOPT_READFUNCTION, Upload::read);
    curl_easy_setopt(handle, CURLOPT_READDATA, &upload);
    curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, problem.data());
    curl_easy_setopt(handle, CURLOPT_VERBOSE, 1L);
    curl_easy_setopt(handle, CURLOPT_DEBUGFUNCTION, note_answer);
    curl_easy_setopt(handle, CURLOPT_DEBUGDATA, &said);
    const auto code = curl_easy_perform(handle);
    if (code == CURLE_OK) return {Outcome::Kind::sent, said, {}};
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    const auto what = fmt::format("{}{}{}", problem[0] != '\0' ? problem.data() : curl_easy_strerror(code),
                                  said.empty() ? "" : ": ", said);
    // 5xx to RCPT is about the mailbox, and to anything else but the login about the message; 4xx may pass.
    const bool is_about_mailbox = what.starts_with("RCPT failed");
    if (status / 100 == 5 && is_about_mailbox) return {Outcome::Kind::bounced, what, {}};
    if (status / 100 == 5 && code != CURLE_LOGIN_DENIED) return {Outcome::Kind::refused, what, {}};
    return {Outcome::Kind::retry, what, {}};
  }

 private:
  EmailConfig config_;
};

}  // namespace

std::unique_ptr<Channel> email_channel(const EmailConfig& config) { return std::make_unique<Email>(config); }

}  // namespace wattd::notify
