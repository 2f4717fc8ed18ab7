#include "drivers/modbus/trace.h"

#include <gtest/gtest.h>

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

const ReadRequest kRequest{.unit = 3, .function = 4, .address = 10, .count = 2};

TEST(Trace, keeps_nothing_while_nobody_looks) {
  FakeClock clock;
  Trace trace;
  trace.note(true, Bytes{1}, clock.now(), clock.monotonic());
  EXPECT_TRUE(trace.since(0, clock.monotonic()).empty());
  trace.note(true, Bytes{2}, clock.now(), clock.monotonic());
  EXPECT_EQ(trace.since(0, clock.monotonic()).size(), 1u);
  clock.advance(11s);
  trace.note(true, Bytes{3}, clock.now(), clock.monotonic());
  EXPECT_TRUE(trace.since(0, clock.monotonic()).empty()) << "what was kept is given up with the next frame";
}

TEST(Trace, puts_together_what_comes_in_pieces) {
  FakeClock clock;
  Trace trace;
  trace.since(0, clock.monotonic());
  trace.note(true, Bytes{1}, clock.now(), clock.monotonic());
  trace.note(false, Bytes{2}, clock.now(), clock.monotonic());
  trace.note(false, Bytes{3, 4}, clock.now() + 5ms, clock.monotonic());
  trace.note(true, Bytes{5}, clock.now(), clock.monotonic());
  const auto frames = trace.since(1, clock.monotonic());
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].bytes, (Bytes{2, 3, 4}));
  EXPECT_EQ(frames[0].at, clock.now());
  EXPECT_EQ(frames[1].number, 3u);
}

TEST(Trace, is_bounded) {
  FakeClock clock;
  Trace trace;
  trace.since(0, clock.monotonic());
  for (int i = 0; i < 5000; ++i) {
    trace.note(true, Bytes{1}, clock.now(), clock.monotonic());
    trace.note(false, Bytes(700), clock.now(), clock.monotonic());
  }
  const auto frames = trace.since(0, clock.monotonic());
  EXPECT_EQ(frames.size(), 2000u);
  EXPECT_EQ(frames.back().number, 10'000u);
}

TEST(Trace, says_what_frames_of_a_serial_line_are) {
  EXPECT_EQ(describe(Framing::rtu, true, encode_rtu(kRequest)), "unit 3: read 2 input registers from 10");
  Bytes answer{3, 4, 4, 0x43, 0x66, 0x80, 0};
  const auto crc = crc16(answer);
  answer.push_back(static_cast<std::uint8_t>(crc)), answer.push_back(static_cast<std::uint8_t>(crc >> 8));
  EXPECT_EQ(describe(Framing::rtu, false, answer), "unit 3: 4366 8000");
  answer[4] ^= 1;
  EXPECT_EQ(describe(Framing::rtu, false, answer), "9 bytes with a wrong checksum");
  EXPECT_EQ(describe(Framing::rtu, false, Bytes{3, 4}), "2 bytes that are no frame");
}

TEST(Trace, says_what_frames_of_modbus_tcp_are_one_behind_the_other) {
  EXPECT_EQ(describe(Framing::tcp, true, encode_tcp(kRequest, 0x8001)),
            "#32769 unit 3: read 2 input registers from 10");
  const Bytes two{0x80, 1, 0, 0, 0, 3, 3, 0x84, 2, 0x80, 2, 0, 0, 0, 5, 3, 4, 2, 0x12, 0x34, 9};
  EXPECT_EQ(describe(Framing::tcp, false, two),
            "#32769 unit 3: exception 2 to function 4; #32770 unit 3: 1234; 1 bytes that are no frame");
}

}  // namespace
}  // namespace wattd::drivers::modbus
