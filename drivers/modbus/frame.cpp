#include "drivers/modbus/frame.h"

#include <algorithm>
#include <array>

namespace wattd::drivers::modbus {
namespace {

constexpr std::uint8_t kException = 0x80;
constexpr std::size_t kExceptionFrame = 5;  // unit, function, code, CRC
constexpr std::size_t kTcpHeader = 6;       // transaction, protocol, length
constexpr std::size_t kLongestTcpBody = 260;

void put_word(Bytes& bytes, int word) {
  bytes.push_back(static_cast<std::uint8_t>(word >> 8));
  bytes.push_back(static_cast<std::uint8_t>(word));
}

int word_at(std::span<const std::uint8_t> bytes, std::size_t at) { return bytes[at] << 8 | bytes[at + 1]; }

std::vector<std::uint16_t> words_from(std::span<const std::uint8_t> bytes) {
  std::vector<std::uint16_t> words(bytes.size() / 2);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = static_cast<std::uint16_t>(word_at(bytes, 2 * i));
  return words;
}

bool ends_with_crc(std::span<const std::uint8_t> frame) {
  const auto crc = crc16(frame.first(frame.size() - 2));
  return frame[frame.size() - 2] == (crc & 0xFF) && frame[frame.size() - 1] == crc >> 8;
}

}  // namespace

std::uint16_t crc16(std::span<const std::uint8_t> bytes) {
  std::uint16_t crc = 0xFFFF;
  for (const auto byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = static_cast<std::uint16_t>((crc & 1) != 0 ? crc >> 1 ^ 0xA001 : crc >> 1);
  }
  return crc;
}

Bytes encode_rtu(const ReadRequest& request) {
  Bytes frame{static_cast<std::uint8_t>(request.unit), static_cast<std::uint8_t>(request.function)};
  put_word(frame, request.address);
  put_word(frame, request.count);
  const auto crc = crc16(frame);
  frame.push_back(static_cast<std::uint8_t>(crc));
  frame.push_back(static_cast<std::uint8_t>(crc >> 8));
  return frame;
}

Bytes encode_tcp(const ReadRequest& request, std::uint16_t transaction) {
  Bytes frame;
  put_word(frame, transaction);
  put_word(frame, 0);
  put_word(frame, 6);
  frame.push_back(static_cast<std::uint8_t>(request.unit));
  frame.push_back(static_cast<std::uint8_t>(request.function));
  put_word(frame, request.address);
  put_word(frame, request.count);
  return frame;
}

void Asked::note(std::uint16_t transaction, const ReadRequest& request, Instant sent) {
  while (!latest_.empty() && (latest_.size() == kMost || latest_.front().sent + kLongest < sent)) latest_.pop_front();
  latest_.push_back({transaction, request, sent});
}

const Asked::Entry* Asked::find(std::uint16_t transaction) const {
  if (latest_.empty() || transaction < kFirstTransaction) return nullptr;
  const auto place = static_cast<std::size_t>((transaction - latest_.front().transaction) & (kFirstTransaction - 1));
  return place < latest_.size() && latest_[place].transaction == transaction ? &latest_[place] : nullptr;
}

bool Asked::any_begins_with(std::uint8_t byte) const {
  return !latest_.empty() && (byte == latest_.front().transaction >> 8 || byte == latest_.back().transaction >> 8);
}

void AnswerParser::drop(std::size_t count) {
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
  thrown_away_ += count;
}

std::optional<Answer> AnswerParser::take(std::span<const std::uint8_t> bytes) {
  waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
  return framing_ == Framing::rtu ? take_rtu() : take_tcp();
}

std::optional<Answer> AnswerParser::take_rtu() {
  const auto unit = static_cast<std::uint8_t>(request_.unit);
  const auto function = static_cast<std::uint8_t>(request_.function);
  const auto size = static_cast<std::uint8_t>(2 * request_.count);
  while (!waiting_.empty()) {
    // An answer may begin at any byte: what stands before it is noise, or the rest of one that was cut short.
    if (waiting_[0] == unit && waiting_.size() < 2) return std::nullopt;
    const bool is_exception = waiting_[0] == unit && waiting_[1] == (function | kException);
    const bool is_answer = waiting_[0] == unit && waiting_[1] == function;
    if (is_exception && waiting_.size() < kExceptionFrame) return std::nullopt;
    if (is_exception && ends_with_crc(std::span(waiting_).first(kExceptionFrame)))
      return Answer{.words = {}, .exception = waiting_[2]};
    if (is_answer && waiting_.size() < 3) return std::nullopt;
    if (is_answer && waiting_[2] == size) {
      const auto whole = std::size_t{3} + size + 2;
      if (waiting_.size() < whole) return std::nullopt;
      if (ends_with_crc(std::span(waiting_).first(whole)))
        return Answer{words_from(std::span(waiting_).subspan(3, size))};
    }
    drop(1);
  }
  return std::nullopt;
}

/// Whether the answer to a request, or its refusal, begins with these bytes. A gateway that answers in a silent
/// meter's place may say any unit.
AnswerParser::Within AnswerParser::other_at(std::span<const std::uint8_t> bytes) const {
  if (bytes.size() == 1) return asked_->any_begins_with(bytes[0]) ? Within::beginning : Within::nothing;
  const auto* asked = asked_->find(static_cast<std::uint16_t>(word_at(bytes, 0)));
  if (asked == nullptr) return Within::nothing;
  const auto begins = [&](int length, int function) {
    const std::array<int, kTcpHeader + 2> expected{bytes[0], bytes[1], 0, 0, length >> 8, length & 0xFF, -1, function};
    for (std::size_t i = 2; i < std::min(bytes.size(), expected.size()); ++i) {
      if (expected[i] >= 0 && bytes[i] != expected[i]) return false;
    }
    return true;
  };
  const auto& request = asked->request;
  if (!begins(3 + 2 * request.count, request.function) && !begins(3, request.function | kException))
    return Within::nothing;
  return bytes.size() >= kTcpHeader + 2 ? Within::header : Within::beginning;
}

/// Whether an answer was cut short and filled up with another one, late or sent twice: then that one begins within it.
/// Registers that happen to look so to the last of eight bytes are asked for again.
AnswerParser::Within AnswerParser::other_within(std::size_t end) const {
  auto found = Within::nothing;
  if (asked_ == nullptr) return found;
  for (auto at = kTcpHeader + 3; at < end && found != Within::header; ++at)
    found = std::max(found, other_at(std::span(waiting_).subspan(at)));
  return found;
}

std::optional<Answer> AnswerParser::take_tcp() {
  while (waiting_.size() >= kTcpHeader + 2) {
    const auto length = static_cast<std::size_t>(word_at(waiting_, 4));
    if (word_at(waiting_, 2) != 0 || length < 2 || length > kLongestTcpBody) {
      drop(1);  // no header begins here
      continue;
    }
    if (waiting_.size() < kTcpHeader + length) return std::nullopt;
    const auto body = std::span(waiting_).subspan(kTcpHeader, length);
    const bool is_ours = word_at(waiting_, 0) == transaction_;
    const auto function = body[1];
    // Gateways that answer in a silent meter's place may say 0 or 255 for its unit.
    if (is_ours && function == (request_.function | kException) && length >= 3)
      return Answer{.words = {}, .exception = body[2]};
    const auto size = static_cast<std::size_t>(2 * request_.count);
    if (is_ours && body[0] == request_.unit && function == request_.function && length == 3 + size && body[2] == size) {
      const auto other = other_within(kTcpHeader + length);
      is_torn_ = other == Within::header;
      doubtful_ = is_torn_ ? std::nullopt : std::optional(Answer{words_from(body.subspan(3))});
      return is_torn_ || (wary_ && other == Within::beginning) ? std::nullopt : end();
    }
    if (!is_ours) passed_over_ = static_cast<std::uint16_t>(word_at(waiting_, 0));
    drop(kTcpHeader + length);  // a late answer to an earlier request, or to nobody
  }
  return std::nullopt;
}

}  // namespace wattd::drivers::modbus
