#include "storage/chunk.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <bit>
#include <cmath>
#include <limits>

#include "storage/integers.h"
#include "storage/reals.h"

namespace wattd::storage {
namespace {

std::uint64_t bits(double value) { return std::bit_cast<std::uint64_t>(value); }

std::vector<std::int64_t> through(const std::vector<std::int64_t>& values, Prediction prediction, Coding coding) {
  ByteWriter out;
  write_integers(out, values, prediction, coding);
  ByteReader in(out.bytes());
  std::vector<std::int64_t> found;
  read_integers(in, values.size(), found);
  EXPECT_EQ(in.remaining(), 0u);
  return found;
}

TEST(Integers, come_back_from_every_prediction_and_coding) {
  EXPECT_TRUE(rc::check([](const std::vector<std::int64_t>& values) {
    RC_PRE(values.size() >= 3);
    for (int prediction = 0; prediction < 4; ++prediction) {
      for (int coding = 1; coding < 4; ++coding)
        RC_ASSERT(through(values, static_cast<Prediction>(prediction), static_cast<Coding>(coding)) == values);
    }
  }));
}

TEST(Integers, come_back_at_the_extremes) {
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  const std::vector<std::vector<std::int64_t>> lists{{},
                                                     {0},
                                                     {kMin},
                                                     {kMin, kMax},
                                                     {kMax, kMin, kMax, kMin, 0, -1, 1},
                                                     {7, 7, 7, 7},
                                                     {1000, 2000, 3000, 4000},
                                                     {kMax, kMax, kMax},
                                                     {1, 2, 4, 8, 16, 32},
                                                     {0, 0, 0, 0, 0, 0, 0, 0, 5'000'000'000'000'000'000, 0, 0}};
  for (const auto& values : lists) {
    ByteWriter out;
    write_integers(out, values);
    ByteReader in(out.bytes());
    std::vector<std::int64_t> found;
    read_integers(in, values.size(), found);
    EXPECT_EQ(found, values);
  }
}

TEST(Integers, cost_next_to_nothing_when_they_are_a_schedule) {
  std::vector<std::int64_t> stamps;
  for (int i = 0; i < 1000; ++i) stamps.push_back(1'770'463'560'000'000 + i * 5'000'000LL);
  ByteWriter out;
  write_integers(out, stamps);
  EXPECT_LE(out.bytes().size(), 16u);
}

TEST(Reals, keep_every_bit) {
  EXPECT_TRUE(rc::check([](const std::vector<std::uint64_t>& words, const std::vector<std::int32_t>& decimals) {
    std::vector<double> values;
    for (const auto word : words) values.push_back(std::bit_cast<double>(word));
    for (const auto decimal : decimals) values.push_back(decimal / 100.0);
    for (const auto odd : {double{NAN}, -double{NAN}, -0.0, 0.0, double{INFINITY}, -double{INFINITY}, 5e-324, 1e308,
                           2.3e-310, 0.1, 1e15, 1e16})
      values.push_back(odd);
    ByteWriter out;
    write_reals(out, values);
    ByteReader in(out.bytes());
    std::vector<double> found;
    read_reals(in, values.size(), found);
    RC_ASSERT(found.size() == values.size());
    for (std::size_t i = 0; i < values.size(); ++i) RC_ASSERT(bits(found[i]) == bits(values[i]));
  }));
}

TEST(Reals, take_one_that_is_no_decimal_among_many_that_are) {
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(2300 + i % 7 * 0.1);
  values[500] = NAN;
  values[777] = std::sqrt(2);
  ByteWriter out;
  write_reals(out, values);
  EXPECT_LT(out.bytes().size(), 700u) << "two odd values must not make a list of floats";
  ByteReader in(out.bytes());
  std::vector<double> found;
  read_reals(in, values.size(), found);
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(bits(found[i]), bits(values[i])) << i;
}

TEST(Reals, know_the_decimal_that_a_meter_said) {
  Decimal decimal;
  ASSERT_TRUE(to_decimal(230.1, decimal));
  EXPECT_EQ(decimal.digits, 2301);
  EXPECT_EQ(decimal.places, 1);
  for (const double none : {double{NAN}, -0.0, 1.0 / 3, 1e300}) EXPECT_FALSE(to_decimal(none, decimal)) << none;
}

Value any_value() {
  switch (*rc::gen::inRange(0, 6)) {
    case 0: return std::bit_cast<double>(*rc::gen::arbitrary<std::uint64_t>());
    case 1: return *rc::gen::arbitrary<std::int64_t>();
    case 2: return *rc::gen::arbitrary<bool>();
    case 3: return *rc::gen::arbitrary<std::string>();
    default: return *rc::gen::inRange(-100000, 100000) / 10.0;
  }
}

Block any_block() {
  Block block{.device_key = 1};
  const auto rows = *rc::gen::inRange<std::size_t>(1, 200);
  auto at = *rc::gen::inRange<std::int64_t>(0, 2'000'000'000'000'000);
  for (std::size_t row = 0; row < rows; ++row) {
    at += *rc::gen::inRange<std::int64_t>(1, 10'000'000);
    block.add_row(at, *rc::gen::inRange<std::uint32_t>(1, 3), static_cast<Quality>(*rc::gen::element(0, 0, 0, 1, 512)));
    for (std::uint32_t series = 1; series < 5; ++series) {
      if (*rc::gen::inRange(0, 4) == 0) continue;
      block.column(series * 3, 0).put(row, any_value(), static_cast<Quality>(*rc::gen::element(0, 0, 0, 4)));
    }
  }
  block.fill_up();
  return block;
}

void same_columns(const Block& a, const Block& b) {
  RC_ASSERT(a.at_us == b.at_us);
  RC_ASSERT(a.versions == b.versions);
  RC_ASSERT(a.columns.size() == b.columns.size());
  for (std::size_t c = 0; c < a.columns.size(); ++c) {
    for (std::size_t row = 0; row < a.rows(); ++row) {
      RC_ASSERT(a.quality(row) == b.quality(row));
      RC_ASSERT(a.columns[c].has(row) == b.columns[c].has(row));
      if (!a.columns[c].has(row)) continue;
      const auto x = a.columns[c].values[row];
      const auto y = b.columns[c].values[row];
      RC_ASSERT(x.index() == y.index());
      if (const auto* real = std::get_if<double>(&x)) RC_ASSERT(bits(*real) == bits(std::get<double>(y)));
      else RC_ASSERT(x == y);
      RC_ASSERT(a.columns[c].quality(row) == b.columns[c].quality(row));
    }
  }
}

TEST(Chunk, reads_back_what_was_written) {
  EXPECT_TRUE(rc::check([] {
    const auto block = any_block();
    const auto encoded = encode_chunk(block);
    const auto decoded = decode_chunk(encoded.head, encoded.body);
    RC_ASSERT(decoded.has_value());
    same_columns(block, *decoded);
  }));
}

TEST(Chunk, says_beside_the_blob_what_is_in_it) {
  Block block{.device_key = 1};
  for (int i = 0; i < 10; ++i) {
    block.add_row(1000 + i, 1, Quality::good);
    block.column(4, 0).put(static_cast<std::size_t>(i), i == 3 ? NAN : i * 0.5,
                           i == 9 ? Quality::stale : Quality::good);
  }
  const auto head = decode_chunk_head(encode_chunk(block).head);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->from_us, 1000);
  EXPECT_EQ(head->to_us, 1009);
  EXPECT_EQ(head->rows, 10u);
  ASSERT_EQ(head->series.size(), 1u);
  EXPECT_EQ(head->series[0], (Summary{4, 10, 9, 0, 4.5, 21, Quality::stale}));
}

TEST(Chunk, decodes_the_wanted_series_alone) {
  Block block{.device_key = 1};
  block.add_row(1, 1, Quality::good);
  for (std::uint32_t id = 1; id < 4; ++id) block.column(id, id - 1).put(0, id * 1.5, Quality::good);
  const auto encoded = encode_chunk(block);
  const auto decoded = decode_chunk(encoded.head, encoded.body, [](std::uint32_t id) { return id == 2; });
  ASSERT_TRUE(decoded);
  ASSERT_EQ(decoded->columns.size(), 1u);
  EXPECT_EQ(decoded->columns[0].values[0], Value(3.0));
}

TEST(Chunk, notices_every_flipped_bit_and_every_missing_byte) {
  Block block{.device_key = 1};
  for (int i = 0; i < 50; ++i) {
    block.add_row(1000 + i * 17, 1, Quality::good);
    block.column(1, 0).put(static_cast<std::size_t>(i), i * 0.1, Quality::good);
  }
  const auto good = encode_chunk(block);
  for (std::size_t i = 0; i < good.head.size() * 8; ++i) {
    auto bad = good;
    bad.head[i / 8] ^= static_cast<std::uint8_t>(1 << (i % 8));
    ASSERT_FALSE(decode_chunk(bad.head, bad.body)) << "head bit " << i;
  }
  for (std::size_t i = 0; i < good.body.size() * 8; ++i) {
    auto bad = good;
    bad.body[i / 8] ^= static_cast<std::uint8_t>(1 << (i % 8));
    ASSERT_FALSE(decode_chunk(bad.head, bad.body)) << "body bit " << i;
  }
  for (std::size_t size = 0; size < good.head.size(); ++size)
    EXPECT_FALSE(decode_chunk_head(std::span(good.head).first(size)));
}

TEST(Block, is_the_same_whether_it_was_built_at_once_or_appended_in_pieces) {
  EXPECT_TRUE(rc::check([] {
    const auto whole = any_block();
    Block pieces{.device_key = 1};
    for (std::size_t from = 0; from < whole.rows();) {
      const auto to = std::min(whole.rows(), from + *rc::gen::inRange<std::size_t>(1, 20));
      pieces.append(whole.slice(from, to));
      from = to;
    }
    same_columns(whole, pieces);
  }));
}

TEST(Block, counts_a_stamp_once_and_reports_what_it_replaced) {
  Block block{.device_key = 1};
  for (const auto& [at, value] : std::vector<std::pair<int, double>>{{5, 1}, {3, 2}, {5, 1}, {4, 7}, {3, 9}}) {
    block.add_row(at, 1, Quality::good);
    block.column(1, 0).put(block.rows() - 1, value, Quality::good);
  }
  std::vector<Correction> corrections;
  sort_by_time(block, [&](Correction correction) { corrections.push_back(std::move(correction)); });
  EXPECT_EQ(block.at_us, (std::vector<std::int64_t>{3, 4, 5}));
  EXPECT_EQ(block.columns[0].values[0], Value(9.0));
  ASSERT_EQ(corrections.size(), 1u) << "a repetition is no correction";
  EXPECT_EQ(corrections[0].was, Value(2.0));
  EXPECT_EQ(corrections[0].became, Value(9.0));
}

TEST(Block, unites_readings_that_share_a_stamp_but_no_field) {
  Block block{.device_key = 1};
  block.add_row(5, 1, Quality::good);
  block.column(1, 0).put(0, 1.0, Quality::good);
  block.add_row(5, 2, Quality::good);
  block.column(2, 1).put(1, std::string("on"), Quality::good);
  sort_by_time(block);
  ASSERT_EQ(block.rows(), 1u);
  EXPECT_TRUE(block.columns[0].has(0));
  EXPECT_TRUE(block.columns[1].has(0));
  EXPECT_EQ(block.versions[0], 2u);
}

}  // namespace
}  // namespace wattd::storage
