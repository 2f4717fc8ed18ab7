#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "telemetry/clock.h"

namespace wattd::drivers::modbus {

/// How requests and answers are wrapped on their way.
enum class Framing { rtu, tcp };  ///< rtu: also over TCP, as serial servers do.

/// One request for registers.
struct ReadRequest {
  int unit = 1;
  int function = 3;  ///< 3 (holding) or 4 (input).
  int address = 0;
  int count = 1;
  bool operator==(const ReadRequest&) const = default;

  /// Whether an answer to the other one could be taken for an answer to this one: RTU frames say neither the address
  /// nor which request they answer.
  bool looks_like(const ReadRequest& other) const {
    return unit == other.unit && function == other.function && count == other.count;
  }
};

using Bytes = std::vector<std::uint8_t>;

/// The CRC of serial frames. Source: MODBUS over serial line 1.02, section 2.5.1.2.
std::uint16_t crc16(std::span<const std::uint8_t> bytes);
Bytes encode_rtu(const ReadRequest& request);
/// Source: MODBUS messaging on TCP/IP 1.0b, section 3.1.3.
Bytes encode_tcp(const ReadRequest& request, std::uint16_t transaction);

/// Numbers of requests go from here to 65535 and begin again: few answers end in such a byte, which could be the
/// beginning of another one.
inline constexpr std::uint16_t kFirstTransaction = 0x8000;

/// The latest requests on a connection, the one at hand included, whose answers may come yet, or once more.
class Asked {
 public:
  struct Entry {
    std::uint16_t transaction = 0;
    ReadRequest request;
    Instant sent{};
  };
  void note(std::uint16_t transaction, const ReadRequest& request, Instant sent);
  const Entry* find(std::uint16_t transaction) const;
  /// Whether a request is here whose number begins with this byte.
  bool any_begins_with(std::uint8_t byte) const;
  void forget() { latest_.clear(); }

 private:
  static constexpr std::size_t kMost = 1024;
  static constexpr std::chrono::seconds kLongest{60};
  std::deque<Entry> latest_;  ///< Numbered without a gap.
};

/// What came back: the registers, or the number of an exception.
struct Answer {
  std::vector<std::uint16_t> words;
  std::optional<int> exception;  ///< Also one that no specification knows, such as 0.
};

/// Looks for the answer to one request in a stream of bytes. What is no part of it is thrown away: noise, the rest of
/// an answer that had been given up, an answer to somebody else.
class AnswerParser {
 public:
  /// transaction, asked: over TCP, the number of this request, and all that was asked lately. wary: an answer that ends
  /// in what may be the beginning of another one waits for more.
  AnswerParser(Framing framing, ReadRequest request, std::uint16_t transaction = 0, const Asked* asked = nullptr,
               bool wary = true)
      : framing_(framing), request_(request), transaction_(transaction), asked_(asked), wary_(wary) {}

  /// Takes more bytes; the answer once it is whole.
  std::optional<Answer> take(std::span<const std::uint8_t> bytes);
  /// The line is silent: the answer that was whole but might have gone on as another one.
  std::optional<Answer> end() { return std::exchange(doubtful_, std::nullopt); }
  /// Whether the beginning of something is here that may become the answer.
  bool is_within() const { return !waiting_.empty(); }
  /// Whether an answer broke off and another one went on in its place, as TCP's missing checksum would let pass.
  bool is_torn() const { return is_torn_; }
  /// The number of an earlier request whose answer was passed over, the last of them.
  std::optional<std::uint16_t> passed_over() const { return passed_over_; }
  /// How many bytes were thrown away.
  std::size_t thrown_away() const { return thrown_away_; }

 private:
  std::optional<Answer> take_rtu();
  std::optional<Answer> take_tcp();
  void drop(std::size_t count);
  enum class Within { nothing, beginning, header };
  Within other_within(std::size_t end) const;
  Within other_at(std::span<const std::uint8_t> bytes) const;

  Framing framing_;
  ReadRequest request_;
  std::uint16_t transaction_;
  const Asked* asked_;
  bool wary_;
  Bytes waiting_;
  std::optional<Answer> doubtful_;
  bool is_torn_ = false;
  std::optional<std::uint16_t> passed_over_;
  std::size_t thrown_away_ = 0;
};

}  // namespace wattd::drivers::modbus
