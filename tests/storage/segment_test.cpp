#include "storage/segment.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <limits>

#include "storage/bytes.h"

namespace wattd::storage {
namespace {

Block example() {
  Block block{.device_key = 7, .device_version = 3};
  for (int i = 0; i < 3; ++i) {
    block.at.push_back(from_unix_us(1'770'463'560'000'000 + i * 5'000'123));
    block.received.push_back(block.at.back() + std::chrono::milliseconds{12});
    block.qualities.push_back(i == 1 ? Quality::stale : Quality::good);
  }
  block.columns.push_back({1, {1, 1, 1}, {230.5, 230.1, -0.0}, std::vector<Quality>(3)});
  block.columns.push_back(
      {2, {1, 0, 1}, {std::int64_t{5}, {}, std::numeric_limits<std::int64_t>::min()}, std::vector<Quality>(3)});
  block.columns.push_back(
      {3, {0, 1, 1}, {{}, std::string("warm"), true}, {Quality::good, Quality::invalid, Quality::good}});
  return block;
}

void expect_same(const Block& a, const Block& b) {
  EXPECT_EQ(a.device_key, b.device_key);
  EXPECT_EQ(a.device_version, b.device_version);
  EXPECT_EQ(a.at, b.at);
  EXPECT_EQ(a.received, b.received);
  EXPECT_EQ(a.qualities, b.qualities);
  ASSERT_EQ(a.columns.size(), b.columns.size());
  for (std::size_t c = 0; c < a.columns.size(); ++c) {
    EXPECT_EQ(a.columns[c].series_id, b.columns[c].series_id);
    EXPECT_EQ(a.columns[c].present, b.columns[c].present);
    EXPECT_EQ(a.columns[c].qualities, b.columns[c].qualities);
    for (std::size_t i = 0; i < a.columns[c].values.size(); ++i) {
      if (a.columns[c].present[i]) {
        EXPECT_EQ(a.columns[c].values[i], b.columns[c].values[i]);
      }
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
    Block block;
    Column column{.series_id = 1};
    for (const auto word : bits) {
      block.at.emplace_back();
      block.received.emplace_back();
      block.qualities.push_back(Quality::good);
      column.present.push_back(1);
      column.values.emplace_back(std::bit_cast<double>(word));
      column.qualities.push_back(Quality::good);
    }
    block.columns.push_back(column);
    const auto decoded = decode_segment(encode_segment(std::vector{block}));
    RC_ASSERT(decoded.has_value());
    for (std::size_t i = 0; i < bits.size(); ++i) {
      RC_ASSERT(std::bit_cast<std::uint64_t>(std::get<double>((*decoded)[0].columns[0].values[i])) == bits[i]);
    }
  }));
}

TEST(Segment, skips_columns_nobody_wants) {
  const auto bytes = encode_segment(std::vector{example()});
  const auto decoded = decode_segment(bytes, [](std::uint32_t id) { return id == 2; });
  ASSERT_TRUE(decoded);
  ASSERT_EQ(decoded->front().columns.size(), 1u);
  EXPECT_EQ(decoded->front().columns[0].series_id, 2u);
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

TEST(Segment, still_reads_the_bytes_of_its_first_version) {
  // The worked example of docs/formats/segment.md: one reading of device 1 with field 1 = 230.5.
  Block block{.device_key = 1,
              .device_version = 1,
              .at = {from_unix_us(1'000'000)},
              .received = {from_unix_us(1'000'050)},
              .qualities = {Quality::good}};
  block.columns.push_back({1, {1}, {230.5}, {Quality::good}});
  const std::vector<std::uint8_t> expected{
      0x01, 0x00, 0x00, 0x00, 0x00, 0x00,               // version, flags, checksum
      0x01, 0x01, 0x01, 0x01,                           // blocks, device, version, readings
      0x80, 0x89, 0x7A, 0x64, 0x00,                     // at, received - at, qualities
      0x01, 0x01, 0x0B, 0x00, 0x01, 0x00,               // columns, series, bytes, kind, complete, qualities
      0x00, 0x00, 0x00, 0x00, 0x00, 0xD0, 0x6C, 0x40};  // 230.5
  auto bytes = encode_segment(std::vector{block});
  ASSERT_EQ(bytes.size(), expected.size());
  EXPECT_TRUE(std::equal(bytes.begin() + 6, bytes.end(), expected.begin() + 6));
  EXPECT_EQ(bytes[0], 1);
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
