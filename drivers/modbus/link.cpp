#include "drivers/modbus/link.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "drivers/modbus/identification.h"
#include "drivers/modbus/port.h"
#include "drivers/modbus/trace.h"

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

constexpr auto kBetweenBytes = 250ms;  // what adapters and serial servers may hold parts of an answer back for
constexpr auto kLongestAnswer = 10s;   // however it drips
constexpr auto kLateAnswers = 5s;      // how long an answer that was given up may still come,
constexpr auto kLatestAnswers = 60s;   // at most: three times as late as the latest one seen
constexpr auto kLateForgotten = 5min;
constexpr auto kWary = 60s;  // after which an answer that goes on as another one is not waited for
constexpr int kBitsPerByte = 11;
constexpr std::size_t kLongestIdentification = 1024;  // bytes, noise before it included

std::string_view name_of_exception(int code) {
  switch (code) {
    case 1: return "illegal function";
    case 2: return "illegal data address";
    case 3: return "illegal data value";
    case 4: return "device failure";
    case 5: return "acknowledge";
    case 6: return "device busy";
    case 10: return "gateway path unavailable";
    case 11: return "gateway target does not respond";
    default: return "unknown";
  }
}

/// Requests and answers, one after the other. RTU answers do not say what they answer: what was given up is remembered
/// until it can no longer come, and until then nothing is asked whose answer would look the same.
class FramedLink final : public Link {
 public:
  FramedLink(Address address, std::unique_ptr<Port> port, const Clock& clock)
      : address_(std::move(address)), port_(std::move(port)), clock_(clock), timeout_(address_.timeout) {}

  Result<std::vector<std::uint16_t>> read(int unit, int function, int address, int count) override {
    const ReadRequest request{unit, function, address, count};
    const auto opened = port_->open();
    if (!opened) return std::unexpected(opened.error());
    openings_ += *opened;
    if (free_at(request) > clock_.monotonic())
      return fail(ErrorKind::retry, describe(request, "late answers to something else may still come"));
    rest_before(unit);
    if (auto cleared = discard_waiting(); !cleared) return std::unexpected(cleared.error());
    return exchange(request);
  }

  Result<std::vector<std::string>> identify(int unit) override {
    const auto opened = port_->open();
    if (!opened) return std::unexpected(opened.error());
    openings_ += *opened;
    rest_before(unit);
    if (auto cleared = discard_waiting(); !cleared) return std::unexpected(cleared.error());
    transaction_ = transaction_ == UINT16_MAX ? kFirstTransaction : static_cast<std::uint16_t>(transaction_ + 1);
    const auto framing = address_.framing();
    const auto frame = encode_identification(framing, unit, transaction_);
    const auto sent = clock_.monotonic();
    if (auto written = port_->write(frame); !written) return std::unexpected(written.error());
    // Numbered without a gap; its answer is like none to a request for registers.
    if (framing == Framing::tcp) asked_.note(transaction_, {.unit = unit, .function = 0x2B, .count = 0}, sent);
    Bytes answer;
    const auto latest = sent + timeout_ + transmission_time(frame.size()) + kLongestAnswer;
    for (auto deadline = sent + timeout_ + transmission_time(frame.size()); deadline < latest;) {
      auto bytes = port_->read(deadline);
      if (!bytes) return std::unexpected(bytes.error());
      if (bytes->empty()) break;
      last_byte_ = clock_.monotonic();
      answer.insert(answer.end(), bytes->begin(), bytes->end());
      if (auto found = identification_in(answer, framing, unit, transaction_)) return *found;
      if (answer.size() > kLongestIdentification) break;
      deadline = last_byte_ + kBetweenBytes;
    }
    wary_until_ = clock_.monotonic() + kWary;
    return fail(ErrorKind::retry, fmt::format("{} unit {}: it does not say what it is within {} ms", address_.text(),
                                              unit, timeout_.count()));
  }

  int openings() const override { return openings_; }
  void set_timeout(std::chrono::milliseconds timeout) override { timeout_ = timeout; }
  Instant::duration lateness(int unit) const override {
    const auto late = late_.find(unit);
    if (late == late_.end() || late->second.noted + kLateForgotten < clock_.monotonic()) return {};
    return late->second.by;
  }

  Instant free_at(const ReadRequest& request) const override {
    Instant free{};
    if (address_.framing() == Framing::tcp) return free;  // its answers carry the request's number
    for (const auto& given_up : given_up_) {
      if (given_up.request.looks_like(request) && given_up.request != request) free = std::max(free, given_up.until);
    }
    return free;
  }

 private:
  struct GivenUp {
    ReadRequest request;
    Instant sent;
    Instant until;
  };

  Result<std::vector<std::uint16_t>> exchange(const ReadRequest& request) {
    const bool is_rtu = address_.framing() == Framing::rtu;
    transaction_ = transaction_ == UINT16_MAX ? kFirstTransaction : static_cast<std::uint16_t>(transaction_ + 1);
    const auto frame = is_rtu ? encode_rtu(request) : encode_tcp(request, transaction_);
    const auto sent = clock_.monotonic();
    if (auto written = port_->write(frame); !written) return std::unexpected(written.error());
    if (!is_rtu) asked_.note(transaction_, request, sent);
    AnswerParser parser(address_.framing(), request, transaction_, &asked_, sent < wary_until_);
    auto deadline = sent + timeout_ + transmission_time(frame.size());
    const auto latest = deadline + kLongestAnswer;
    while (true) {
      auto bytes = port_->read(deadline);
      if (!bytes) return std::unexpected(bytes.error());
      last_byte_ = clock_.monotonic();
      const auto answer = bytes->empty() ? parser.end() : parser.take(*bytes);
      if (parser.thrown_away() > 0) wary_until_ = last_byte_ + kWary;
      if (const auto late = parser.passed_over()) note_late(*late);
      if (answer) return accept(request, *answer, sent);
      if (bytes->empty()) break;
      // What has begun may go on, byte by byte if it must. Without a checksum it has to go on at once.
      const auto next = std::min(last_byte_ + kBetweenBytes, latest);
      if (parser.is_within()) deadline = is_rtu ? std::max(deadline, next) : next;
      if (last_byte_ >= deadline || parser.is_torn()) break;
    }
    give_up(request, sent, parser.is_within());
    const auto what = parser.is_within() || parser.thrown_away() > 0 ? "the answer is broken" : "no answer";
    return fail(ErrorKind::retry, describe(request, fmt::format("{} within {} ms", what, timeout_.count())));
  }

  Result<std::vector<std::uint16_t>> accept(const ReadRequest& request, const Answer& answer, Instant sent) {
    if (!answer.exception) {
      note_answer(request);
      return answer.words;
    }
    // A late exception may have been meant for any request of its function: nothing is learnt from it, and this one's
    // answer may be on its way still.
    const bool is_doubtful = std::ranges::any_of(given_up_, [&](const GivenUp& one) {
      return one.request.unit == request.unit && one.request.function == request.function;
    });
    if (is_doubtful) give_up(request, sent, false);
    const auto what =
        describe(request, fmt::format("exception {}, {}", *answer.exception, name_of_exception(*answer.exception)));
    const int code = *answer.exception;
    if (code == 10 || code == 11) return fail(ErrorKind::retry, what);  // the gateway speaks for a silent meter
    return fail(code >= 1 && code <= 3 && !is_doubtful ? ErrorKind::unsupported : ErrorKind::permanent, what);
  }

  /// An answer came: it may have been to the oldest request like this one that was given up, and then this one's own is
  /// still on its way.
  void note_answer(const ReadRequest& request) {
    const auto oldest = std::ranges::find(given_up_, request, &GivenUp::request);
    if (oldest == given_up_.end()) return;
    oldest->sent = clock_.monotonic();
    oldest->until = oldest->sent + patience();
  }

  void give_up(const ReadRequest& request, Instant sent, bool is_torn) {
    wary_until_ = clock_.monotonic() + kWary;
    if (address_.framing() == Framing::rtu) {
      given_up_.push_back({request, sent, clock_.monotonic() + patience()});
    } else if (is_torn) {
      // In the midst of a frame nobody knows where the next one begins.
      port_->close();
      asked_.forget();
    }
  }

  /// An answer to an earlier request came over TCP.
  void note_late(std::uint16_t transaction) {
    const auto* asked = asked_.find(transaction);
    if (asked != nullptr) late_[asked->request.unit] = {last_byte_ - asked->sent, last_byte_};
  }

  Instant::duration patience() const {
    Instant::duration longest{};
    for (const auto& [unit, late] : late_) longest = std::max(longest, late.by);
    return std::clamp<Instant::duration>(std::max<Instant::duration>(3 * longest, 5 * timeout_), kLateAnswers,
                                         kLatestAnswers);
  }

  /// Takes what has come since the last answer off the line.
  Result<void> discard_waiting() {
    const auto now = clock_.monotonic();
    std::erase_if(given_up_, [&](const GivenUp& one) { return one.until <= now; });
    while (true) {
      const auto bytes = port_->read(clock_.monotonic());
      if (!bytes) return std::unexpected(bytes.error());
      if (bytes->empty()) return {};
      last_byte_ = clock_.monotonic();
      wary_until_ = last_byte_ + kWary;
      if (!given_up_.empty()) {
        const auto& oldest = given_up_.front();
        late_[oldest.request.unit] = {last_byte_ - oldest.sent, last_byte_};
      } else if (address_.framing() == Framing::tcp && bytes->size() > 1) {
        note_late(static_cast<std::uint16_t>((*bytes)[0] << 8 | (*bytes)[1]));
      }
    }
  }

  std::chrono::microseconds transmission_time(std::size_t bytes) const {
    if (!address_.is_serial()) return 0us;
    return std::chrono::microseconds{static_cast<std::int64_t>(bytes) * kBitsPerByte * 1'000'000 / address_.baud};
  }

  /// The silence of 3.5 characters that ends a frame, and longer before another unit is spoken to.
  void rest_before(int unit) {
    if (address_.framing() == Framing::tcp) return;
    auto pause = std::chrono::microseconds{1750};
    if (address_.is_serial() && address_.baud <= 19200) pause = std::chrono::microseconds{38'500'000 / address_.baud};
    if (unit != last_unit_ && last_unit_ != 0) pause = std::max<std::chrono::microseconds>(pause, address_.unit_pause);
    last_unit_ = unit;
    if (last_byte_ + pause > clock_.monotonic()) port_->rest(last_byte_ + pause);
  }

  std::string describe(const ReadRequest& request, std::string_view what) const {
    return fmt::format("{} unit {}: reading {} registers from {} (function {}): {}", address_.text(), request.unit,
                       request.count, request.address, request.function, what);
  }

  Address address_;
  std::unique_ptr<Port> port_;
  const Clock& clock_;
  std::chrono::milliseconds timeout_;
  int openings_ = 0;
  std::uint16_t transaction_ = kFirstTransaction;
  int last_unit_ = 0;
  Instant last_byte_{};
  std::vector<GivenUp> given_up_;  ///< Over RTU.
  Asked asked_;                    ///< Over TCP.
  Instant wary_until_{};           ///< Answers have come late, twice, or not at all.
  struct Late {
    Instant::duration by{};
    Instant noted{};
  };
  std::map<int, Late> late_;  ///< The latest late answer of each unit.
};

}  // namespace

std::string Address::text() const {
  if (is_serial()) return fmt::format("{} at {} 8{}{}", device, baud, parity, stop_bits);
  return fmt::format("{}:{}{}", host, port, rtu_over_tcp ? " (RTU)" : "");
}

std::unique_ptr<Link> open_link(Address address, std::unique_ptr<Port> port, const Clock& clock) {
  return std::make_unique<FramedLink>(std::move(address), std::move(port), clock);
}

std::unique_ptr<Link> open_link(Address address, const Clock& clock, std::shared_ptr<Trace> trace) {
  auto port = address.is_serial() ? serial_port(address) : tcp_port(address);
  if (trace) port = traced(std::move(port), std::move(trace), clock);
  return open_link(std::move(address), std::move(port), clock);
}

}  // namespace wattd::drivers::modbus
