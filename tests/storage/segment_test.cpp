#include "storage/segment.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <limits>

#include "storage/envelope.h"
#include "telemetry/bytes.h"

namespace wattd::storage {
namespace {

Block example() {
  Block block{.device_key = 7};
  for (int i = 0; i < 3; ++i) {
    block.add_row(1'770'463'560'000'000 + i * 5'000'123, 3, i == 1 ? Quality::stale : Quality::good);
    block.received_us.push_back(block.at_us.back() + 12'000);
  }
  const std::vector<Value> reals{230.5, 230.1, -0.0};
  for (std::size_t i = 0; i < 3; ++i) block.column(1, 0).put(i, reals[i], Quality::good);
  block.column(2, 1).put(0, std::int64_t{5}, Quality::good);
  block.column(2, 1).put(2, std::numeric_limits<std::int64_t>::min(), Quality::good);
  block.column(3, 2).put(1, std::string("warm"), Quality::invalid);
  block.column(3, 2).put(2, true, Quality::good);
  block.fill_up();
  return block;
}

void expect_same(const Block& a, const Block& b) {
  EXPECT_EQ(a.device_key, b.device_key);
  EXPECT_EQ(a.versions, b.versions);
  EXPECT_EQ(a.at_us, b.at_us);
  EXPECT_EQ(a.received_us, b.received_us);
  EXPECT_EQ(a.qualities, b.qualities);
  ASSERT_EQ(a.columns.size(), b.columns.size());
  for (std::size_t c = 0; c < a.columns.size(); ++c) {
    EXPECT_EQ(a.columns[c].series_id, b.columns[c].series_id);
    for (std::size_t i = 0; i < a.rows(); ++i) {
      ASSERT_EQ(a.columns[c].has(i), b.columns[c].has(i));
      if (!a.columns[c].has(i)) continue;
      EXPECT_EQ(a.columns[c].values[i], b.columns[c].values[i]);
      EXPECT_EQ(a.columns[c].quality(i), b.columns[c].quality(i));
    }
  }
}

TEST(Segment, reads_back_what_was_written) {
  const std::vector blocks{example()};
  const auto decoded = decode_segment(encode_segment(blocks));
  ASSERT_TRUE(decoded) << decoded.error().message;
  ASSERT_EQ(decoded->size(), 1u);
  expect_same(decoded->front(), blocks.front());
}

TEST(Segment, keeps_every_bit_of_a_double) {
  EXPECT_TRUE(rc::check([](const std::vector<std::uint64_t>& bits) {
    RC_PRE(!bits.empty());
    Block block;
    for (const auto word : bits) {
      block.add_row(0, 1, Quality::good);
      block.column(1, 0).put(block.rows() - 1, std::bit_cast<double>(word), Quality::good);
    }
    const auto decoded = decode_segment(encode_segment(std::vector{block}));
    RC_ASSERT(decoded.has_value());
    for (std::size_t i = 0; i < bits.size(); ++i)
      RC_ASSERT(std::bit_cast<std::uint64_t>(std::get<double>((*decoded)[0].columns[0].values[i])) == bits[i]);
  }));
}

TEST(Segment, skips_devices_nobody_wants) {
  auto other = example();
  other.device_key = 8;
  const auto bytes = encode_segment(std::vector{example(), other});
  const auto decoded = decode_segment(bytes, [](std::uint32_t key) { return key == 8; });
  ASSERT_TRUE(decoded);
  ASSERT_EQ(decoded->size(), 1u);
  expect_same(decoded->front(), other);
}

TEST(Segment, notices_every_flipped_bit) {
  const auto good = encode_segment(std::vector{example()});
  for (std::size_t i = 0; i < good.size() * 8; ++i) {
    auto bad = good;
    bad[i / 8] ^= static_cast<std::uint8_t>(1 << (i % 8));
    const auto decoded = decode_segment(bad);
    ASSERT_FALSE(decoded) << "bit " << i;
    EXPECT_EQ(decoded.error().kind, ErrorKind::corrupt);
  }
}

TEST(Segment, notices_every_missing_byte) {
  const auto good = encode_segment(std::vector{example()});
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(decode_segment(std::span(good).first(size)));
}

TEST(Segment, refuses_a_version_it_does_not_know) {
  auto bytes = encode_segment(std::vector{example()});
  bytes[0] = 99;
  EXPECT_EQ(decode_segment(bytes).error().message, "segment: version 99 is not one this program reads");
}

/// Puts the version, the flags and the checksum before a body.
std::vector<std::uint8_t> sealed(std::uint8_t version, const std::vector<std::uint8_t>& body) {
  ByteWriter out;
  out.byte(version);
  out.byte(0);
  out.word(checksum(0, body));
  out.raw(body.data(), body.size());
  return std::move(out.bytes());
}

/// One reading of device 1 with series 1 = 230.5: the worked example of docs/formats/segment.md.
Block worked_example(std::int64_t late_us) {
  Block block{.device_key = 1};
  block.add_row(1'000'000, 1, Quality::good);
  block.received_us = {1'000'000 + late_us};
  block.column(1, 0).put(0, 230.5, Quality::good);
  return block;
}

TEST(Segment, still_reads_the_bytes_of_its_first_version) {
  const auto decoded = decode_segment(sealed(1, {0x01, 0x01, 0x01, 0x01,        // blocks, device, version, readings
                                                 0x80, 0x89, 0x7A, 0x64, 0x00,  // at, received - at, qualities
                                                 0x01, 0x01, 0x0B, 0x00, 0x01, 0x00,  // columns, series, bytes, kind
                                                 0x00, 0x00, 0x00, 0x00, 0x00, 0xD0, 0x6C, 0x40}));
  ASSERT_TRUE(decoded) << decoded.error().message;
  ASSERT_EQ(decoded->size(), 1u);
  expect_same(decoded->front(), worked_example(50));
}

TEST(Segment, writes_the_bytes_of_its_worked_example) {
  const auto expected = sealed(2, {0x80, 0x89, 0x7A, 0x01,          // base stamp, in milliseconds
                                   0x01, 0x01, 0x09,                // blocks, device, bytes
                                   0x1F, 0x01, 0x00, 0x0A,          // flags, version, at, late by 5 ms
                                   0x01, 0x81, 0x01, 0x82, 0x24});  // columns, one place, series, 2305
  auto bytes = encode_segment(std::vector{worked_example(5'000)});
  EXPECT_EQ(fmt::format("{:02x}", fmt::join(bytes, " ")), fmt::format("{:02x}", fmt::join(expected, " ")));
}

TEST(Varint, reads_back_every_number) {
  EXPECT_TRUE(rc::check([](std::int64_t value) {
    ByteWriter out;
    out.zigzag_varint(value);
    RC_ASSERT(ByteReader(out.bytes()).zigzag_varint() == value);
  }));
}

}  // namespace
}  // namespace wattd::storage
