#include "datasets/parquet.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>

namespace wattd::datasets {
namespace {

std::string hex(const std::string& bytes) {
  std::string text;
  for (const unsigned char c : bytes) text += fmt::format("{:02x}", c);
  return text;
}

TEST(ParquetTest, a_file_is_what_other_readers_have_read) {
  // Read with Apache Arrow 26: two rows, types, nulls, statistics and metadata as they stand here.
  const std::vector<Column> columns{{"timestamp", Times{{1'770'465'600'000'000, 1'770'465'601'000'000}}},
                                    {"power", std::vector<double>{1.5, 0}, {true, false}},
                                    {"on", Truths{{false, true}}, {true, true}},
                                    {"state", std::vector<std::string>{"a", "é"}}};
  EXPECT_EQ(hex(to_parquet(columns, 2, {{"gateway", "g1"}})),
            "504152311500152015242c15041500150615060000103c00d02ca53a4a060040123ca53a4a06001500152015242c15041500"
            "150615060000103c0400000002010200000000000000f83f1500150e15122c15041500150615060000071802000000040102"
            "15001516151a2c150415001506150600000b28010000006102000000c3a91504195c4806736368656d611508001504250018"
            "0974696d657374616d7025144c8c111c2c0000000000150a25021805706f776572001500250218026f6e00150c2500180573"
            "7461746525004c1c0000001604191c194c26081c15041925000619180974696d657374616d70150216041642164626083c58"
            "0840123ca53a4a0600180800d02ca53a4a0600000000264e1c150a19250006191805706f7765721502160416421646264e00"
            "002694011c1500192500061918026f6e1502160416301634269401000026c8011c150c192500061918057374617465150216"
            "041638163c26c801000016ec01160400191c180767617465776179180267310018057761747464194c1c00001c00001c0000"
            "1c0000001201000050415231");
}

RC_GTEST_PROP(ParquetTest, every_shape_ends_with_a_footer_that_lies_within_it, ()) {
  const auto rows = *rc::gen::inRange<std::size_t>(0, 40);
  const auto count = *rc::gen::inRange<std::size_t>(1, 20);
  std::vector<Column> columns;
  for (std::size_t i = 0; i < count; ++i) {
    Column column{.name = fmt::format("c{}", i)};
    if (*rc::gen::arbitrary<bool>())
      column.present = *rc::gen::container<std::vector<bool>>(rows, rc::gen::arbitrary<bool>());
    switch (*rc::gen::inRange(0, 5)) {
      case 0:
        column.values = Times{*rc::gen::container<std::vector<std::int64_t>>(rows, rc::gen::arbitrary<std::int64_t>())};
        break;
      case 1: column.values = *rc::gen::container<std::vector<double>>(rows, rc::gen::arbitrary<double>()); break;
      case 2:
        column.values = *rc::gen::container<std::vector<std::int64_t>>(rows, rc::gen::arbitrary<std::int64_t>());
        break;
      case 3: column.values = Truths{*rc::gen::container<std::vector<bool>>(rows, rc::gen::arbitrary<bool>())}; break;
      default:
        column.values = *rc::gen::container<std::vector<std::string>>(rows, rc::gen::arbitrary<std::string>());
        break;
    }
    columns.push_back(std::move(column));
  }
  const auto file = to_parquet(columns, rows, {});
  RC_ASSERT(file.starts_with("PAR1") && file.ends_with("PAR1"));
  std::uint32_t footer = 0;
  std::memcpy(&footer, file.data() + file.size() - 8, sizeof footer);
  RC_ASSERT(footer + 12 < file.size());
  for (std::size_t i = 0; i < count; ++i)
    RC_ASSERT(file.find(fmt::format("c{}", i), file.size() - 8 - footer) != std::string::npos);
  RC_ASSERT(to_parquet(columns, rows, {}) == file);
}

}  // namespace
}  // namespace wattd::datasets
