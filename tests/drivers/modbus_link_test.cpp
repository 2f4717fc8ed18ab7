#include "drivers/modbus/link.h"

#include <gtest/gtest.h>

#include <utility>

#include <deque>
#include <map>
#include <random>

#include "drivers/modbus/identification.h"
#include "drivers/modbus/port.h"

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

TEST(Frame, is_to_the_byte_what_the_specification_prints) {
  // MODBUS application protocol 1.1b3, section 6.3: reading 108 to 110 of holding registers.
  EXPECT_EQ(encode_tcp({.unit = 0x11, .function = 3, .address = 0x6B, .count = 3}, 0x1234),
            (Bytes{0x12, 0x34, 0x00, 0x00, 0x00, 0x06, 0x11, 0x03, 0x00, 0x6B, 0x00, 0x03}));
  EXPECT_EQ(encode_rtu({.unit = 0x11, .function = 3, .address = 0x6B, .count = 3}),
            (Bytes{0x11, 0x03, 0x00, 0x6B, 0x00, 0x03, 0x76, 0x87}));
  EXPECT_EQ(encode_rtu({.unit = 1, .function = 4, .address = 0, .count = 2}),
            (Bytes{0x01, 0x04, 0x00, 0x00, 0x00, 0x02, 0x71, 0xCB}));
}

TEST(Identification, is_to_the_byte_what_the_specification_prints) {
  // Section 6.21, over TCP and with a checksum.
  EXPECT_EQ(encode_identification(Framing::tcp, 1, 0x1234),
            (Bytes{0x12, 0x34, 0, 0, 0, 5, 0x01, 0x2B, 0x0E, 0x01, 0x00}));
  EXPECT_EQ(encode_identification(Framing::rtu, 1, 0), (Bytes{0x01, 0x2B, 0x0E, 0x01, 0x00, 0x70, 0x77}));
}

/// Whose register says what: every one something of its own.
std::uint16_t word_of(int unit, int function, int address) {
  return static_cast<std::uint16_t>(unit * 7919 + function * 104'729 + address * 31);
}

Bytes with_crc(Bytes frame) {
  const auto crc = crc16(frame);
  frame.push_back(static_cast<std::uint8_t>(crc));
  frame.push_back(static_cast<std::uint8_t>(crc >> 8));
  return frame;
}

/// A device with two names.
Bytes names_of(int unit) {
  Bytes body{static_cast<std::uint8_t>(unit), 0x2B, 0x0E, 0x01, 0x01, 0x00, 0x00, 2};
  for (const auto& [id, name] : {std::pair<int, std::string>{0, "Schneider Electric"}, {1, "iEM3155"}}) {
    body.push_back(static_cast<std::uint8_t>(id));
    body.push_back(static_cast<std::uint8_t>(name.size()));
    body.insert(body.end(), name.begin(), name.end());
  }
  return body;
}

TEST(Identification, is_found_behind_noise_and_only_when_whole) {
  const std::vector<std::string> names{"Schneider Electric", "iEM3155"};
  auto rtu = with_crc(names_of(7));
  rtu.insert(rtu.begin(), {0x07, 0x2B, 0x00, 0xFF});
  Bytes tcp{0x80, 0x01, 0, 0, 0, static_cast<std::uint8_t>(names_of(7).size())};
  for (const auto byte : names_of(7)) tcp.push_back(byte);
  for (const auto& [framing, whole] : {std::pair{Framing::rtu, rtu}, {Framing::tcp, tcp}}) {
    for (std::size_t size = 0; size < whole.size(); ++size)
      EXPECT_FALSE(identification_in(std::span(whole).first(size), framing, 7, 0x8001)) << size;
    const auto found = identification_in(whole, framing, 7, 0x8001);
    ASSERT_TRUE(found && *found);
    EXPECT_EQ(**found, names);
  }
  EXPECT_FALSE(identification_in(tcp, Framing::tcp, 7, 0x8002)) << "an answer to another request";
  auto broken = rtu;
  broken[20] ^= 1;
  EXPECT_FALSE(identification_in(broken, Framing::rtu, 7, 0));
  const auto refused = identification_in(with_crc({0x07, 0xAB, 0x01}), Framing::rtu, 7, 0);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error().kind, ErrorKind::unsupported);
}

Bytes rtu_answer(int unit, int function, int address, int count) {
  Bytes frame{static_cast<std::uint8_t>(unit), static_cast<std::uint8_t>(function),
              static_cast<std::uint8_t>(2 * count)};
  for (int i = 0; i < count; ++i) {
    const auto word = word_of(unit, function, address + i);
    frame.push_back(static_cast<std::uint8_t>(word >> 8));
    frame.push_back(static_cast<std::uint8_t>(word));
  }
  return with_crc(frame);
}

/// A line on which time stands still until somebody waits. `meter` says what comes of a request, and when.
class FakePort final : public Port {
 public:
  bool is_open = false;
  struct Chunk {
    Instant at;
    Bytes bytes;
  };
  explicit FakePort(FakeClock& clock) : clock_(clock) {}

  Result<bool> open() override { return !std::exchange(is_open, true); }
  void close() override {
    ++closed;
    is_open = false;
    coming.clear();
  }
  Result<void> write(std::span<const std::uint8_t> bytes) override {
    sent.emplace_back(bytes.begin(), bytes.end());
    written_at.push_back(clock_.monotonic());
    if (meter) meter(sent.back());
    return {};
  }
  Result<Bytes> read(Instant until) override {
    if (coming.empty() || coming.begin()->first > until) {
      rest(until);
      return Bytes{};
    }
    const auto first = coming.begin();
    rest(first->first);
    auto bytes = std::move(first->second);
    coming.erase(first);
    return bytes;
  }
  void rest(Instant until) override {
    if (until > clock_.monotonic())
      clock_.advance(std::chrono::ceil<std::chrono::microseconds>(until - clock_.monotonic()));
  }

  void answer_in(Instant::duration delay, Bytes bytes) { coming.emplace(clock_.monotonic() + delay, std::move(bytes)); }

  std::function<void(const Bytes&)> meter;
  std::multimap<Instant, Bytes> coming;
  std::vector<Bytes> sent;
  std::vector<Instant> written_at;
  int closed = 0;

 private:
  FakeClock& clock_;
};

struct LinkTest : testing::Test {
  void open(Address address) {
    auto made = std::make_unique<FakePort>(clock);
    port = made.get();
    link = open_link(std::move(address), std::move(made), clock);
  }
  LinkTest() { open({.device = "/dev/ttyS0", .timeout = 600ms}); }

  FakeClock clock;
  FakePort* port = nullptr;
  std::unique_ptr<Link> link;
};

TEST_F(LinkTest, reads_an_answer_that_comes_in_pieces) {
  port->meter = [&](const Bytes&) {
    const auto answer = rtu_answer(1, 3, 10, 2);
    for (std::size_t i = 0; i < answer.size(); ++i) port->answer_in(500ms + 200ms * static_cast<int>(i), {answer[i]});
  };
  const auto words = link->read(1, 3, 10, 2);
  ASSERT_TRUE(words) << words.error().message;
  EXPECT_EQ(*words, (std::vector<std::uint16_t>{word_of(1, 3, 10), word_of(1, 3, 11)}));
}

TEST_F(LinkTest, never_takes_a_late_answer_for_another_register) {
  port->meter = [&](const Bytes&) { port->answer_in(800ms, rtu_answer(1, 3, 10, 2)); };
  const auto late = link->read(1, 3, 10, 2);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::retry);
  EXPECT_NE(late.error().message.find("/dev/ttyS0 at 9600 8N1 unit 1: reading 2 registers from 10 (function 3): no "
                                      "answer within 600 ms"),
            std::string::npos)
      << late.error().message;
  // Another register whose answer would look the same has to wait,
  EXPECT_GT(link->free_at({1, 3, 50, 2}), clock.monotonic());
  EXPECT_FALSE(link->read(1, 3, 50, 2));
  EXPECT_EQ(port->sent.size(), 1u) << "it is not even asked";
  // one of another length, another function or another unit has not, and is not mistaken either.
  for (const auto& request : {ReadRequest{1, 3, 50, 3}, {1, 4, 50, 2}, {2, 3, 50, 2}}) {
    EXPECT_LE(link->free_at(request), clock.monotonic());
    port->meter = [&](const Bytes&) {
      port->answer_in(50ms, rtu_answer(1, 3, 10, 2));  // the late one once more, right before the answer
      port->answer_in(90ms, rtu_answer(request.unit, request.function, request.address, request.count));
    };
    const auto words = link->read(request.unit, request.function, request.address, request.count);
    ASSERT_TRUE(words) << words.error().message;
    EXPECT_EQ(words->front(), word_of(request.unit, request.function, request.address));
  }
  clock.advance(6s);
  EXPECT_LE(link->free_at({1, 3, 50, 2}), clock.monotonic()) << "nothing comes as late as that";
}

TEST_F(LinkTest, learns_nothing_from_an_exception_that_may_have_been_meant_for_something_else) {
  (void)link->read(1, 3, 10, 2);
  port->meter = [&](const Bytes&) { port->answer_in(50ms, with_crc({1, 0x83, 2})); };
  EXPECT_EQ(link->read(1, 3, 50, 3).error().kind, ErrorKind::permanent);
  clock.advance(20s);
  EXPECT_EQ(link->read(1, 3, 50, 3).error().kind, ErrorKind::unsupported);
}

TEST_F(LinkTest, keeps_the_silence_between_frames) {
  port->meter = [&](const Bytes& frame) { port->answer_in(20ms, rtu_answer(frame[0], 3, frame[3], 1)); };
  ASSERT_TRUE(link->read(1, 3, 1, 1));
  const auto answered = clock.monotonic();
  ASSERT_TRUE(link->read(1, 3, 2, 1));
  EXPECT_GE(port->written_at[1] - answered, 4ms) << "3.5 characters at 9600 baud";
}

TEST_F(LinkTest, tells_what_the_meter_refuses) {
  for (const auto& [code, kind] : {std::pair{2, ErrorKind::unsupported},
                                   {0, ErrorKind::permanent},
                                   {4, ErrorKind::permanent},
                                   {11, ErrorKind::retry}}) {
    port->meter = [&](const Bytes&) { port->answer_in(20ms, with_crc({1, 0x83, static_cast<std::uint8_t>(code)})); };
    EXPECT_EQ(link->read(1, 3, 10, 2).error().kind, kind) << code;
  }
  EXPECT_EQ(port->closed, 0) << "an exception is an answer";
}

Bytes tcp_answer(const Bytes& request, int address) {
  const auto rtu = rtu_answer(request[6], request[7], address, request[11]);
  Bytes frame(rtu.size() - 2 + 6);  // no CRC, but a header
  frame[0] = request[0], frame[1] = request[1], frame[5] = static_cast<std::uint8_t>(rtu.size() - 2);
  std::copy(rtu.begin(), rtu.end() - 2, frame.begin() + 6);
  return frame;
}

TEST_F(LinkTest, knows_its_answer_by_its_number_over_tcp) {
  open({.host = "meter", .timeout = 1s});
  port->meter = [&](const Bytes& request) { port->answer_in(1500ms, tcp_answer(request, 10)); };
  EXPECT_FALSE(link->read(1, 3, 10, 2));
  EXPECT_LE(link->free_at({1, 3, 50, 2}), clock.monotonic());
  port->meter = [&](const Bytes& request) { port->answer_in(700ms, tcp_answer(request, 50)); };
  const auto words = link->read(1, 3, 50, 2);
  ASSERT_TRUE(words) << words.error().message;
  EXPECT_EQ(words->front(), word_of(1, 3, 50));
  EXPECT_EQ(port->closed, 0);
  // An answer that breaks off is not filled up with what comes next.
  for (std::size_t kept = 1; kept < 13; ++kept) {
    // Perhaps another meter behind the same gateway, whose answer comes late, or a second time.
    const int unit = 1 + static_cast<int>(kept % 2);
    const bool twice = kept % 3 == 0;
    port->meter = [&](const Bytes& request) {
      if (twice) port->answer_in(10ms, tcp_answer(request, 90));
    };
    EXPECT_EQ(link->read(unit, 3, 90, 2).has_value(), twice);
    port->meter = [&](const Bytes& request) {
      auto torn = tcp_answer(request, 50);
      auto other = tcp_answer(request, 90);
      other[1] -= 1;
      other[6] = static_cast<std::uint8_t>(unit);
      torn.resize(kept);
      port->answer_in(50ms, torn);
      port->answer_in(120ms, other);
    };
    EXPECT_FALSE(link->read(1, 3, 50, 2)) << kept;
  }
  EXPECT_GT(port->closed, 0);
  port->closed = 0;
  // Registers may look much like a header, or end like the beginning of one.
  port->meter = [&](const Bytes& request) {
    auto answer = tcp_answer(request, 60);
    for (std::size_t i = 0; i < 8; ++i) answer[9 + i] = i == 7 ? 3 : i == 5 ? 12 : request[i];
    answer[16] = 0x80;
    port->answer_in(10ms, answer);
  };
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(link->read(1, 3, 60, 4));
  EXPECT_EQ(port->closed, 0);
  // What is torn leaves no place from which to go on.
  port->meter = [&](const Bytes& request) {
    auto answer = tcp_answer(request, 50);
    answer.resize(8);
    port->answer_in(10ms, answer);
  };
  EXPECT_FALSE(link->read(1, 3, 50, 2));
  EXPECT_EQ(port->closed, 1);
}

/// A line on which everything goes wrong that can: answers late, torn, in pieces, with noise before them, refusals that
/// were meant for something else, or nothing at all. No answer comes twice: no master could tell that on a serial line.
class HostileLine : public LinkTest, public testing::WithParamInterface<int> {
 protected:
  int roll(int sides) { return static_cast<int>(chance_() % static_cast<unsigned>(sides)); }

  /// How many of many requests were answered; every answer has to be the right one.
  int read_much() {
    int read = 0;
    for (int i = 0; i < 400; ++i) {
      const ReadRequest request{1 + roll(2), 3 + roll(2), roll(3) * 40, 2 + roll(2)};
      const auto words = link->read(request.unit, request.function, request.address, request.count);
      clock.advance(std::chrono::milliseconds{roll(300)});
      if (!words) continue;
      ++read;
      for (int k = 0; k < request.count; ++k) {
        EXPECT_EQ((*words)[static_cast<std::size_t>(k)], word_of(request.unit, request.function, request.address + k))
            << "request " << i;
      }
    }
    return read;
  }

 private:
  std::mt19937 chance_{static_cast<unsigned>(GetParam())};
};

TEST_P(HostileLine, never_says_what_no_register_holds) {
  port->meter = [&](const Bytes& request) {
    const int unit = request[0];
    const int function = request[1];
    const int address = request[2] << 8 | request[3];
    const int count = request[4] << 8 | request[5];
    auto answer = rtu_answer(unit, function, address, count);
    Instant::duration delay = 30ms;
    switch (roll(10)) {
      case 0: return;  // lost on the way
      case 1: delay = std::chrono::milliseconds{600 + roll(4000)}; break;
      case 2: answer.resize(static_cast<std::size_t>(roll(static_cast<int>(answer.size())))); break;
      case 3: answer[static_cast<std::size_t>(roll(static_cast<int>(answer.size())))] ^= 0x40; break;
      case 4:
        port->answer_in(20ms, Bytes(static_cast<std::size_t>(roll(9)), static_cast<std::uint8_t>(roll(256))));
        break;
      case 5:
        answer = with_crc({static_cast<std::uint8_t>(unit), static_cast<std::uint8_t>(function | 0x80), 2});
        break;
      default: break;
    }
    if (roll(5) == 0) {
      const auto half = static_cast<std::ptrdiff_t>(answer.size() / 2);
      port->answer_in(delay + 180ms, {answer.begin() + half, answer.end()});
      answer.resize(static_cast<std::size_t>(half));
    }
    port->answer_in(delay, answer);
  };
  EXPECT_GT(read_much(), 40);
}

/// The same over TCP, where nothing is spoiled, but answers come late, twice, in pieces, or break off. A server writes
/// one after the other.
TEST_P(HostileLine, never_takes_one_answer_for_another_over_tcp) {
  open({.host = "meter", .timeout = 600ms});
  std::map<Instant, Instant> busy;  // from when until when the server writes
  const auto write = [&](Instant::duration delay, const Bytes& answer, std::size_t piece, Instant::duration pause) {
    const auto takes = pause * static_cast<int>(answer.size() / piece + 1);
    auto at = clock.monotonic() + delay;
    for (const auto& [from, until] : busy) {
      if (at <= until && at + takes >= from) at = until + 1us;
    }
    busy.emplace(at, at + takes);
    for (std::size_t i = 0; i < answer.size(); i += piece, at += pause) {
      const auto first = answer.begin() + static_cast<std::ptrdiff_t>(i);
      port->coming.emplace(at, Bytes(first, first + static_cast<std::ptrdiff_t>(std::min(piece, answer.size() - i))));
    }
  };
  port->meter = [&](const Bytes& request) {
    auto answer = tcp_answer(request, request[8] << 8 | request[9]);
    const auto later = [&](int from, int to) { return std::chrono::milliseconds{from + roll(to - from)}; };
    switch (roll(10)) {
      case 0: return;
      case 1: return write(later(600, 4600), answer, answer.size(), 0us);
      case 2: answer.resize(static_cast<std::size_t>(roll(static_cast<int>(answer.size())))); break;
      case 3: write(later(50, 1500), answer, answer.size(), 0us); break;
      case 4:
        answer[5] = 3, answer[7] |= 0x80, answer[8] = 6;
        answer.resize(9);
        break;
      default: break;
    }
    write(30ms, answer, static_cast<std::size_t>(1 + roll(40)), later(10, 100));
  };
  EXPECT_GT(read_much(), 40);
}

INSTANTIATE_TEST_SUITE_P(Seeds, HostileLine, testing::Range(1, 41));

}  // namespace
}  // namespace wattd::drivers::modbus
